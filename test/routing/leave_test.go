package routing

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/proof"
)

// TestCasesInTheOtherForms has every case of a gateway by Plain once more, with entries left to routes, and with routes left to
// sealed entries: its calls end alike, or what the form cannot express is refused by its code.
func TestCasesInTheOtherForms(t *testing.T) {
	for field, refused := range map[string]map[string]string{
		// An entry is not rewritten: neither its spelling, nor who sees it.
		"serviceEntries": {"entries/named-to-the-gateway": "gateway-export", "entries/other-spelling": "not-canonical"},
		// A route is not: neither what it asks for, nor whose calls it is for, nor a subset that others do not see.
		"virtualServices": {
			"encryption/by-route": "port-mapping", "routes/before-the-entry": "exported-route", "routes/guide-hop": "gateway-subset", "routes/pair": "other-host",
		},
	} {
		all, err := proof.Load("cases")
		require.NoError(t, err)
		tried := 0
		for _, each := range all {
			configured := each.Configuration["serviceEntries"] != nil || each.Configuration["virtualServices"] != nil || each.Configuration["gateways"] != nil
			if configured || each.Gateway["transport"] != nil || !proof.Concerns(each.Transports, "Plain") {
				continue
			}
			tried++
			each.Configuration = maps.Clone(each.Configuration)
			if each.Configuration == nil {
				each.Configuration = map[string]any{}
			}
			each.Configuration[field] = "Leave"
			name := each.Family + "/" + each.Name
			t.Run(field+"/"+name, func(t *testing.T) {
				stored, err := each.Store(t.Context(), "Plain")
				if code := refused[name]; code != "" {
					require.ErrorContains(t, err, "["+code+"]")
					return
				}
				require.NoError(t, err)
				prove(t, each, "Plain", stored)
			})
		}
		assert.Greater(t, tried, 25, field)
	}
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
