package admit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// enforcing returns handlers with the policies that are in force by default where wanted, and so many more that all match, each
// with so many allowed hosts.
func enforcing(b *testing.B, baseline bool, count, hosts int) *admit.Handler {
	b.Helper()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(b, err)
	if baseline {
		standards, err := engine.Baseline(policy.Baseline{Enforcement: v1alpha1.Deny})
		require.NoError(b, err)
		for _, one := range standards {
			require.NoError(b, engine.Set(one))
		}
	}
	list := []string{`"*.example.com"`}
	for i := range hosts - 1 {
		list = append(list, fmt.Sprintf(`"host-%d.example.org"`, i))
	}
	parameters := &apiextensionsv1.JSON{Raw: []byte(`{"hosts": [` + strings.Join(list, ",") + `]}`)}
	for i := range count {
		require.NoError(b, engine.Set(&v1alpha1.EgressPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i)},
			Spec:       v1alpha1.EgressPolicySpec{Policy: "allowed-hosts", Parameters: parameters},
		}))
	}
	return handler(b, engine)
}

// loads are the policies under which handlers are measured.
var loads = []struct {
	name         string
	baseline     bool
	count, hosts int
}{
	{"policies=0", false, 0, 0}, {"policies=1", false, 1, 10}, {"policies=10", false, 10, 10}, {"policies=100", false, 100, 10},
	{"policies=10/hosts=10000", false, 10, 10000}, {"policies=baseline+10", true, 10, 10},
}

// routesJSON is a VirtualService of so many routes to hosts of the mesh.
func routesJSON(routes int) string {
	list := make([]string, routes)
	for i := range list {
		list[i] = fmt.Sprintf(`{"match":[{"uri":{"prefix":"/v%d"}}],"route":[{"destination":{"host":"local.payments.svc.cluster.local","port":{"number":80}},"weight":90},{"destination":{"host":"other.payments.svc.cluster.local","port":{"number":80}},"weight":10}]}`, i)
	}
	return `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"x","namespace":"payments"},"spec":{"hosts":["local.payments.svc.cluster.local"],"http":[` + strings.Join(list, ",") + `]}}`
}

// BenchmarkMutate measures the handler that rewrites, without the network.
func BenchmarkMutate(b *testing.B) {
	g := handler(b, evaluator(silent))
	in := request("ServiceEntry", entryJSON(goodSpec))
	cost.Loop(b, func() {
		if response := g.Mutate(b.Context(), in); len(response.Patches) == 0 {
			b.Fatal(response)
		}
	})
}

// BenchmarkValidate measures the handler that evaluates, without the network.
func BenchmarkValidate(b *testing.B) {
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			g, in := enforcing(b, load.baseline, load.count, load.hosts), request("ServiceEntry", sealedJSON())
			cost.Loop(b, func() {
				if response := g.Validate(b.Context(), in); !response.Allowed {
					b.Fatal(response.Result)
				}
			})
		})
	}
}

// BenchmarkRoutes measures both handlers for VirtualServices of many routes, under the baseline and ten policies.
func BenchmarkRoutes(b *testing.B) {
	g := enforcing(b, true, 10, 10)
	for name, handle := range map[string]admission.HandlerFunc{"mutate": g.Mutate, "validate": g.Validate} {
		for _, routes := range []int{1, 20, 500} {
			b.Run(fmt.Sprintf("%s/routes=%d", name, routes), func(b *testing.B) {
				in := request("VirtualService", routesJSON(routes))
				cost.Loop(b, func() { handle(b.Context(), in) })
			})
		}
	}
}

// BenchmarkOverTLS measures the same as a client has it on one connection that stays, beside a handler that allows everything: that is what
// the network, TLS, HTTP and the AdmissionReview take.
func BenchmarkOverTLS(b *testing.B) {
	nothing := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	overTLS(b, "nothing", nothing, entryJSON(goodSpec), true)
	overTLS(b, "nothing/http1", nothing, entryJSON(goodSpec), false)
	overTLS(b, "mutate", enforcing(b, false, 0, 0).Mutate, entryJSON(goodSpec), true)
	for _, load := range loads {
		overTLS(b, "validate/"+load.name, enforcing(b, load.baseline, load.count, load.hosts).Validate, sealedJSON(), true)
	}
}

func overTLS(b *testing.B, name string, handle admission.HandlerFunc, object string, http2 bool) {
	b.Helper()
	server := httptest.NewUnstartedServer(&admission.Webhook{Handler: handle})
	server.EnableHTTP2 = http2
	server.StartTLS()
	b.Cleanup(server.Close)
	in := request("ServiceEntry", object)
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &in.AdmissionRequest,
	})
	require.NoError(b, err)
	b.Run(name, func(b *testing.B) {
		cost.Loop(b, func() {
			response, err := server.Client().Post(server.URL, "application/json", bytes.NewReader(body))
			require.NoError(b, err)
			raw, err := io.ReadAll(response.Body)
			require.NoError(b, err)
			require.NoError(b, response.Body.Close())
			if response.StatusCode != http.StatusOK || !bytes.Contains(raw, []byte(`"allowed":true`)) {
				b.Fatal(string(raw))
			}
		})
	})
}
