package registry_test

import (
	"fmt"
	"net/netip"
	stdruntime "runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// claiming is a Service that claims so many addresses outside, of which each is the network's of its own.
func claiming(name string, network, count int) *corev1.Service {
	out := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}}
	out.Spec.ClusterIP, out.Spec.ClusterIPs = fmt.Sprintf("10.0.0.%d", network), []string{fmt.Sprintf("10.0.0.%d", network), fmt.Sprintf("fd00::%d", network)}
	out.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("198.51.100.%d", network)}}
	for i := range count {
		out.Spec.ExternalIPs = append(out.Spec.ExternalIPs, fmt.Sprintf("203.%d.%d.%d", network, i>>8, i&255))
	}
	return out
}

// TestAServiceClaimsSoManyAddresses: those that it has of the cluster and of a load balancer are known whatever else it claims.
func TestAServiceClaimsSoManyAddresses(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	service := claiming("s", 1, 60_000)
	r.PutService(service)
	for _, ip := range []string{"10.0.0.1", "fd00::1", "198.51.100.1", "203.1.0.0"} {
		assert.Equal(t, "s.a.svc.cluster.local", r.ServiceAt(netip.MustParseAddr(ip)), ip)
	}
	assert.Len(t, registry.ReadService(service).IPs, 256)
	twice := claiming("t", 2, 200)
	twice.Spec.ExternalIPs = append(twice.Spec.ExternalIPs, twice.Spec.ExternalIPs...)
	assert.Len(t, registry.ReadService(twice).IPs, 203, "each once")
	r.DeleteService("a", "s")
	assert.Empty(t, r.ServiceAt(netip.MustParseAddr("203.1.0.0")))
}

// TestLittleIsKeptOfAService that claims what fits into a megabyte, in the cache and beside it.
// It is not parallel, since it looks at the heap.
func TestLittleIsKeptOfAService(t *testing.T) {
	r := newRegistry(t, "")
	var keep func(any) (any, error)
	for kind, by := range r.Caches() {
		if _, is := kind.(*corev1.Service); is {
			keep = by.Transform
		}
	}
	const count = 4
	before := cost.Heap()
	cached := make([]any, count)
	for i := range count {
		service := claiming(fmt.Sprint(i), i, 60_000)
		service.Annotations = map[string]string{"note": string(make([]byte, 100<<10))}
		kept, err := keep(service)
		require.NoError(t, err)
		again, err := keep(kept)
		require.NoError(t, err)
		assert.Same(t, kept, again, "a stream of what is stored keeps it twice")
		cached[i] = kept
		r.PutService(service)
	}
	assert.Less(t, int(cost.Heap()-before)/count, 256<<10)
	stdruntime.KeepAlive(cached)
	stdruntime.KeepAlive(r)
}
