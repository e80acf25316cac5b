package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestALeaderThatStartsRewritesNothing of what the one before left in order: rules and routes come to it before the entries of their hosts do,
// and are not held against those that are not known yet.
func TestALeaderThatStartsRewritesNothing(t *testing.T) {
	t.Parallel()
	rule := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "r"}}
	rule.Spec.Host = host
	rule.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE}}
	// It leads to a host that is known, too, though no entry names that.
	other := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "other"}}
	other.Spec.Host = "other.test"
	route := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "r"}}
	route.Spec.Hosts = []string{"front.test"}
	to := func(host string) []*networking.HTTPRouteDestination {
		return []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: host, Port: &networking.PortSelector{Number: 443}}}}
	}
	route.Spec.Http = []*networking.HTTPRoute{
		{Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/other"}}}}, Route: to("other.test")},
		{Route: to(host)},
	}
	for kind, rewrites := range map[string]func(of *registry.Registry, synced func() bool) *Rewrites{
		"DestinationRule": func(of *registry.Registry, synced func() bool) *Rewrites { return rules(of, synced) },
		"VirtualService":  func(of *registry.Registry, synced func() bool) *Rewrites { return routes(of, synced) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, egresstest.Mesh())
			see := func(by *registry.Registry, kind, name string) {
				object := empty(istio(kind))
				require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: name}, object))
				require.NoError(t, by.Put(object))
			}
			leads := func(by *registry.Registry, synced func() bool) (written int) {
				leader := rewrites(by, synced)
				leader.live, leader.writer = s.cluster, s.cluster
				queue := queueOf[types.NamespacedName](t)
				before := len(s.writes)
				require.NoError(t, leader.follow(t.Context(), queue))
				for queue.Len() > 0 {
					next, _ := queue.Get()
					_, err := leader.Reconcile(t.Context(), next)
					require.NoError(t, err)
					queue.Done(next)
				}
				return len(s.writes) - before
			}
			for _, object := range []client.Object{rule.DeepCopy(), other.DeepCopy(), route.DeepCopy()} {
				require.NoError(t, s.cluster.Create(t.Context(), object))
			}
			see(s.registry, "DestinationRule", "r")
			see(s.registry, "DestinationRule", "other")
			see(s.registry, "VirtualService", "r")
			s.store(defaultEntry("a", "HTTP"))
			require.NotZero(t, leads(s.registry, s.exits.synced), "it is rewritten once its entry is there")

			next := registry.New(egresstest.Mesh())
			next.PutNamespace("app", nil)
			see(next, "DestinationRule", "r")
			see(next, "DestinationRule", "other")
			see(next, "VirtualService", "r")
			asked := false
			assert.Zero(t, leads(next, func() bool {
				if asked {
					see(next, "ServiceEntry", "a")
				}
				asked = !asked
				return !asked
			}))
		})
	}
}
