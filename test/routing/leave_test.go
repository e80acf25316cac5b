package routing

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/proof"
)

// otherForms are what is left as it is written, with how many cases are proven at least, and those that end otherwise: never
// straight.
var otherForms = map[string]struct {
	proven int
	// stored are cases of which an object is stored that the usual form refuses, closed those of which a call ends at the
	// gateway, or nowhere, in another way than there.
	stored, closed []string
}{
	"serviceEntries": {100,
		// What a record says is nobody's word, and so nothing of it is judged or done; calls to the gateway are not under a rule of
		// their host. An entry spelled otherwise is refused, as nothing writes it anew, and its routes lead to no host that is governed.
		// Routes of an ingress gateway would go straight, and are denied for that.
		[]string{"hostile-entries/record-written-by-hand", "rules/wildcard", "rules/before-a-wildcard", "routes/other-spelling", "ingress/one-of-two-ports",
			"sharing/central-refused"},
		[]string{
			// The route of a host that everybody sees is for a namespace that keeps the host for itself, too.
			"hostile-sharing/internal-host-of-others", "hostile-sharing/first-by-name",
			// Calls go to the Service of the gateway, which a rule for every Service covers, and a listener of a Sidecar's own may not import.
			"rules/of-the-mesh", "sidecars/by-host",
		}},
	// The routes are refused that an entry of their host would be refused for.
	"virtualServices": {60, []string{
		"hostile-routes/bound-to-a-gateway-before-the-entry", "mirrors/before-its-entry", "routes/several-hosts-before-their-entries",
		"hostile-routes/names-at-an-address", "routes/of-gateways-too-before-its-entry",
		"routes/pair-to-one-of-several-ports", "routes/tls-to-another-before-its-entry", "encryption/by-hand", "ingress/public-host-of-the-mesh-too",
	}, nil},
}

// TestCasesInTheOtherForms has every case of a gateway by Plain once more, with entries left to routes, and with routes left to
// sealed entries: its calls end alike, unless the form refuses what it cannot express.
func TestCasesInTheOtherForms(t *testing.T) {
	for field, form := range otherForms {
		all, err := proof.Load("cases")
		require.NoError(t, err)
		proven := 0
		for _, each := range all {
			configured := each.Configuration["serviceEntries"] != nil || each.Configuration["virtualServices"] != nil ||
				each.Configuration["gateways"] != nil || each.Configuration["exportTo"] != nil
			if configured || len(each.Gateway) > 0 || !proof.Concerns(each.Transports, "Plain") {
				continue
			}
			each.Configuration = maps.Clone(each.Configuration)
			if each.Configuration == nil {
				each.Configuration = map[string]any{}
			}
			each.Configuration[field] = "Leave"
			name := each.Family + "/" + each.Name
			t.Run(field+"/"+name, func(t *testing.T) {
				stored, err := each.Store(t.Context(), "Plain")
				if err != nil {
					assert.Equal(t, slices.Contains(form.stored, name), strings.Contains(err.Error(), "is stored, and must be refused"), err)
					return
				}
				proven++
				if !slices.Contains(form.closed, name) {
					prove(t, each, "Plain", stored)
					return
				}
				s := newSetting(t, each, stored)
				for _, call := range each.Calls {
					assert.Empty(t, s.straight(t, call), call)
				}
			})
		}
		assert.GreaterOrEqual(t, proven, form.proven, field)
	}
}

// straight returns the clusters by which a call would leave its sidecar past the gateway.
func (s *setting) straight(t *testing.T, of proof.Call) (out []string) {
	t.Helper()
	namespace, _ := of.Caller()
	target, client := of.Target(), s.client(t, namespace, of.Labels)
	found, _ := ways(t, client, call{namespace: namespace, host: target.Host, port: target.Port, tls: target.Protocol == proof.TLS}, target.Port, simulation.CallModeOutbound)
	for _, way := range found {
		if _, _, leads := s.leads(client, way.cluster); !leads && way.cluster != blackHole && s.elsewhere(t, client, way.cluster).ends == proof.Straight {
			out = append(out, way.cluster)
		}
	}
	return out
}

// TestWhatRoutesAloneDoNotHold: before the controller has written its route, and once somebody has deleted it, calls go straight;
// a sealed entry needs none.
func TestWhatRoutesAloneDoNotHold(t *testing.T) {
	for entries, want := range map[string]proof.Ends{"Leave": proof.Straight, "Seal": proof.AtGateway} {
		of := loaded(t, map[string]string{"a.yaml": bareEntry, "case.yaml": `{title: t, transports: [Plain], configuration: {serviceEntries: ` + entries + `}, calls: [
			{from: app-a, to: "http://api.example.com", ends: Gateway}, {from: app-b, to: "http://api.example.com", ends: Gateway}]}`})
		stored, err := of.Store(t.Context(), "Plain")
		require.NoError(t, err)
		without := *stored
		without.Objects = slices.DeleteFunc(slices.Clone(stored.Objects), func(object *unstructured.Unstructured) bool {
			return object.GetKind() == "VirtualService" && object.GetNamespace() == "app-a" && hop.IsClientRoute(object)
		})
		assert.Equal(t, entries == "Leave", len(without.Objects) < len(stored.Objects), "ours is there")
		whole, opened := newSetting(t, of, stored), newSetting(t, of, &without)
		for _, call := range of.Calls {
			assert.Empty(t, whole.judge(t, call), "%s: %s", entries, call)
			call.Ends = want
			assert.Empty(t, opened.judge(t, call), "%s: %s", entries, call)
		}
	}
}
