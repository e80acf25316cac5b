//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/test/proof"
)

// ends requires that a call ends as its case says.
func (s *stage) ends(t *testing.T, call proof.Call) {
	t.Helper()
	from, o := s.orderOf(t, call)
	if call.Ends == proof.Blocked {
		s.fails(t, from, o)
		for range 5 {
			got, err := s.call(t.Context(), from, o)
			require.NoError(t, err)
			require.NotEmpty(t, got.Error, "%s is answered: %+v", call, got)
		}
		return
	}
	must, may := s.places(t, call)
	reached := map[string]bool{}
	began := time.Now()
	var got answer
	err := until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		if got, err = s.call(ctx, from, o); err != nil || got.Error != "" {
			return false, nil
		}
		place := at(got)
		if callers := must[place]; callers != nil {
			switch known := slices.Contains(callers, got.Caller); {
			case known:
				reached[place] = true
			case !s.byRoutes():
				return false, fmt.Errorf("%s came to %s from %s, and not from %v", call, place, got.Caller, callers)
			}
		}
		return len(reached) == len(must), nil
	})
	if s.byRoutes() {
		s.open = append(s.open, [2]time.Time{began, time.Now()})
	}
	require.NoError(t, err, "%s must reach %v, and reached %v: %+v", call, must, reached, got)
	// Once all routes are known, none leads elsewhere.
	for range 5 {
		got, err := s.call(t.Context(), from, o)
		require.NoError(t, err)
		require.Contains(t, append(must[at(got)], may[at(got)]...), got.Caller, "%s: %+v", call, got)
		if call.Encrypted {
			require.NotEmpty(t, got.SNI, "%s leaves encrypted", call)
		}
	}
}

// byRoutes says that routes alone lead the calls of the case to the gateway, once its proxies know them.
func (s *stage) byRoutes() bool { return s.of.Configuration["serviceEntries"] == "Leave" }

// forgotten waits until no call of the case is answered any more.
func (s *stage) forgotten(t *testing.T) {
	t.Helper()
	began := time.Now()
	for _, call := range s.calls {
		if call.Ends != proof.Blocked {
			from, o := s.orderOf(t, call)
			s.fails(t, from, o)
		}
	}
	if s.byRoutes() {
		s.open = append(s.open, [2]time.Time{began, time.Now()})
	}
}

// at is where a call was answered, as server:port.
func at(got answer) string { return got.Server + ":" + strconv.Itoa(got.Port) }

// places returns where calls must be answered, and where a share of them may be besides, with the addresses they come from there.
func (s *stage) places(t *testing.T, call proof.Call) (must, may map[string][]string) {
	t.Helper()
	namespace, _ := call.Caller()
	must, may = map[string][]string{}, map[string][]string{}
	switch call.Ends {
	case proof.AtGateway:
		gateways, err := s.gateways(t.Context(), s.way(namespace))
		require.NoError(t, err)
		for _, exit := range call.Exits() {
			host, port, err := net.SplitHostPort(exit)
			require.NoError(t, err)
			must[serverOf(host)+":"+port] = gateways
		}
	case proof.InMesh:
		require.NotEmpty(t, s.served, "a Service of the case answers")
		for _, pod := range s.served {
			must[pod.Name+":"+strconv.Itoa(call.Target().Port)] = []string{s.caller(call)}
		}
	default:
		require.Fail(t, "packets show no other end", call.Ends)
	}
	for _, service := range call.Beside {
		host, port, err := net.SplitHostPort(service)
		require.NoError(t, err)
		pod := s.served[strings.TrimSuffix(host, ".svc.cluster.local")]
		require.NotNil(t, pod, "%s is no Service of the case", host)
		may[pod.Name+":"+port] = []string{s.caller(call)}
	}
	return must, may
}

// caller is the address of the pod that calls.
func (s *stage) caller(call proof.Call) string {
	namespace, _ := call.Caller()
	if call.Ingress != nil {
		return s.ingresses[namespace].Status.PodIP
	}
	return s.apps[namespace+"/app"]
}

// orderOf is how a call is made, by the protocol that the servers speak on the port, and who makes it.
func (s *stage) orderOf(t *testing.T, call proof.Call) (from string, out order) {
	t.Helper()
	namespace, account := call.Caller()
	require.Empty(t, call.Labels, "apps have labels of their own")
	require.Equal(t, "default", account, "apps have the namespace's own account")
	target := call.Target()
	out = order{Protocol: string(target.Protocol), Host: target.Host, Port: target.Port}
	switch target.Port {
	case 50051:
		out.Protocol = "grpc"
	case 8081:
		out.Protocol = "h2c"
	case 6379:
		out.Protocol = "echo"
	}
	switch {
	case call.Ingress != nil:
		// From outside, to the pod of the ingress gateway.
		out.Dial = net.JoinHostPort(s.ingresses[namespace].Status.PodIP, s.behind(t, namespace, target.Port))
		return stranger, out
	case call.Dials != "":
		s.dials(t, call, &out)
	}
	return namespace, out
}

// behind is the port of an ingress gateway's pods for one of its Service.
func (s *stage) behind(t *testing.T, namespace string, port int) string {
	t.Helper()
	for _, object := range s.objects {
		if object.GetKind() != "Service" || object.GetNamespace() != namespace {
			continue
		}
		service := &corev1.Service{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service))
		for _, of := range service.Spec.Ports {
			if selects(service.Spec.Selector, s.ingresses[namespace].Labels) && int(of.Port) == port {
				return of.TargetPort.String()
			}
		}
	}
	return strconv.Itoa(port)
}

// dials has the call made to an egress gateway itself, as one would that knows how clients call it.
func (s *stage) dials(t *testing.T, call proof.Call, o *order) {
	t.Helper()
	namespace, _ := call.Caller()
	to := s.way(namespace)
	for _, gw := range s.mesh.Gateways {
		if gw.Name == call.Gateway {
			to = wayBy(gw.Transport)
		}
	}
	port := 443
	if o.Protocol == "http" {
		port = 80
	}
	o.Dial = s.doorsOf(t, to, port)[0]
	if to.name == own.name && o.Protocol != "http" {
		o.Hop = nameOf(o.Host, o.Port)
	}
}
