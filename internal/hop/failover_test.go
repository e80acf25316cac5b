package hop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestSettingsThatSortEndpoints: as Istio reads them.
func TestSettingsThatSortEndpoints(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [a]}}}`:                                              "localityLbSetting",
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: true, failoverPriority: [a], failover: [{from: x, to: y}]}}}`: "localityLbSetting",
		`{loadBalancer: {localityLbSetting: {failoverPriority: [a]}}}`:                                                                    "",
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: []}}}`:                                               "",
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false, failoverPriority: [a]}}}`:                              "",
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {distribute: [{from: x, to: {y: 100}}], failoverPriority: [a]}}}`:       "",
		`{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: x, to: y}]}}}`:                                       "",
		`{loadBalancer: {zoneAwareLbSetting: {failoverPriority: [a]}}}`:                                                                   "zoneAwareLbSetting",
		`{loadBalancer: {zoneAwareLbSetting: {enabled: false, failoverPriority: [a]}}}`:                                                   "",
		`{outlierDetection: {}, loadBalancer: {zoneAwareLbSetting: {minClusterSize: 2}, localityLbSetting: {failoverPriority: [a]}}}`:     "",
		`{connectionPool: {tcp: {connectTimeout: 1s}}}`:                                                                                   "",
	} {
		var of map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(settings), &of))
		assert.Equal(t, want, hop.FailsOver(of), settings)
	}
}

// TestEndpointsOfSeveralLocalities: as Istio reads them.
func TestEndpointsOfSeveralLocalities(t *testing.T) {
	t.Parallel()
	label := func(of string) egress.Endpoint {
		return egress.Endpoint{Labels: map[string]string{"istio-locality": of}}
	}
	east, west := egress.Endpoint{Locality: "us/east"}, egress.Endpoint{Locality: "us/west"}
	for name, tc := range map[string]struct {
		resolution string
		endpoints  []egress.Endpoint
		want       int
	}{
		"two":                      {"DNS", []egress.Endpoint{east, east, west}, 2},
		"one and none":             {"DNS", []egress.Endpoint{{}, west}, 1},
		"one":                      {"DNS", []egress.Endpoint{east, east}, -1},
		"by label":                 {"DNS", []egress.Endpoint{east, label("us.east")}, -1},
		"by another label":         {"DNS_ROUND_ROBIN", []egress.Endpoint{east, label("us.west")}, 1},
		"none":                     {"DNS", nil, -1},
		"given by addresses":       {"STATIC", []egress.Endpoint{east, west}, -1},
		"as each call asks for":    {"DYNAMIC_DNS", []egress.Endpoint{east, west}, -1},
		"where the caller dialled": {"NONE", []egress.Endpoint{east, west}, -1},
	} {
		assert.Equal(t, tc.want, hop.Scattered(tc.resolution, tc.endpoints), name)
	}
}

// TestNoExitStopsIstiod: a rule may have been stored before the setting was refused.
func TestNoExitStopsIstiod(t *testing.T) {
	t.Parallel()
	for resolution, sorted := range map[string]bool{"DNS": false, "STATIC": true} {
		view := cluster()
		intent := &egress.ServiceEntry{Resolution: resolution, Ports: view.Known[0].Ports, Endpoints: []egress.Endpoint{{Address: "192.0.2.1", Locality: "east"}, {Address: "192.0.2.2", Locality: "west"}}}
		view.Known[0].Definition = intent.Define()
		policy := map[string]any{
			"outlierDetection": map[string]any{"consecutive5xxErrors": int64(1)},
			"loadBalancer": map[string]any{"simple": "RANDOM", "localityLbSetting": map[string]any{
				"failover": []any{map[string]any{"from": "east", "to": "west"}}, "failoverPriority": []any{"topology.istio.io/network"},
			}},
		}
		view.Rules = []*egress.Rule{{Namespace: "payments", Host: "api.example.com", Policy: policy}}
		before := (&unstructured.Unstructured{Object: policy}).DeepCopy().Object
		var levels []any
		for _, object := range hop.ExitSet(mesh(), view.Exit("api.example.com", gateways), view, gateways, "api.example.com") {
			if rule, is := object.(*unstructured.Unstructured); is && rule.GetKind() == "DestinationRule" {
				levels, _, _ = unstructured.NestedSlice(rule.Object, "spec", "trafficPolicy", "portLevelSettings")
			}
		}
		require.Len(t, levels, 2)
		for _, level := range levels {
			settings := level.(map[string]any)
			locality := settings["loadBalancer"].(map[string]any)["localityLbSetting"].(map[string]any)
			assert.Equal(t, sorted, locality["failoverPriority"] != nil, resolution)
			assert.NotNil(t, locality["failover"])
			assert.Equal(t, "RANDOM", settings["loadBalancer"].(map[string]any)["simple"])
			assert.NotNil(t, settings["outlierDetection"])
		}
		assert.Equal(t, before, policy, "the rule is as it was")
	}
}
