package chart

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

var (
	aPeer, anotherPeer = []any{values{"ipBlock": values{"cidr": "192.0.2.1/32"}}}, []any{values{"podSelector": values{}}}
	anIssuer           = values{"certificates.mode": "existingSecret", "certificates.existingSecret": "tls", "certificates.caBundle": "Y2E="}
)

// others are what values may be besides, by patterns of their paths, where not anything will do.
var others = map[string]any{
	"*.enforcement": "Warn", "baseline.policies.*": values{"enforcement": "Warn"}, "*CIDRs": []any{"192.0.2.0/24"}, "*ullPolicy": "Always",
	"*.dns.to": anotherPeer, "*.dns.ports": []any{5353.}, "config.networkPolicy.mesh": anotherPeer, "config.networkPolicy.apiServer": anotherPeer, "config.networkPolicy.allow": anotherPeer,
	"networkPolicy.*": anotherPeer, "networkPolicy.enabled": true, "gateway.networkPolicy.from": anotherPeer,
	"mode": "Observe", "config.serviceEntries": "Leave", "config.virtualServices": "Leave", "config.exportTo": "OwnNamespace", "config.dnsCapture": "On",
	"config.unregistered": "Block", "config.networkPolicies": "Manage", "config.docsURL": "https://wiki.test/{code}", "config.opa": values{"labels": values{"a": "b"}},
	"config.gateways": []any{gatewayValues("MutualTLS")}, "gateway.wildcards": "Resolve",
	"namespaceSelector.matchExpressions": []any{values{"key": "a", "operator": "Exists"}}, "guards.pods.namespaces": "All", "guards.pods.ofControllers": "Judge",
	"baseline.namespaceSelector": values{"matchLabels": values{"a": "b"}}, "guards.injection.allowedServiceAccounts": []any{"a/b"}, "audit.interval": "2h", "suspend.maxShare": 0.5,
	"certificates.mode": "certManager", "certificates.issuerRef": values{"name": "a"}, "webhook.tlsMinVersion": "1.2", "metrics.serviceMonitor.interval": "1m",
	"tracing.endpoint": "https://other:4317", "tracing.protocol": "http/protobuf", "tracing.ratio": 0.5, "logLevel": "debug", "image.digest": "sha256:" + strings.Repeat("a", 64),
	"imagePullSecrets": []any{values{"name": "a"}}, "*olerations": []any{values{"operator": "Exists"}}, "topologySpreadConstraints": []any{values{"maxSkew": 2.}},
	"extraArgs": []any{"--a"}, "extraEnv": []any{values{"name": "A"}},
}

// within are values without which those below a path are gone by in nothing.
var within = map[string]values{
	"autoscaling": {"autoscaling.enabled": true}, "gateway": {"gateway.create": true}, "gateway.wildcards": {"config.clusterCIDRs": []any{"10.96.0.0/12"}},
	"podDisruptionBudget": {"replicaCount": 3}, "gateway.podDisruptionBudget": {"gateway.replicaCount": 3},
	"metrics.serviceMonitor": {"metrics.serviceMonitor.enabled": true}, "metrics.rules": {"metrics.rules.enabled": true}, "metrics.dashboard": {"metrics.dashboard.enabled": true},
	"tracing": {"tracing.endpoint": "http://collector:4317"}, "networkPolicy": {"networkPolicy.enabled": true, "networkPolicy.apiServer": aPeer},
	"certificates.existingSecret": anIssuer, "certificates.caBundle": anIssuer, "certificates.issuerRef": {"certificates.mode": "certManager"},
}

// TestEachValueIsGoneBy: whichever is changed, what is installed changes.
func TestEachValueIsGoneBy(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	require.NoError(t, err)
	defaults := values{}
	require.NoError(t, yaml.Unmarshal(raw, &defaults))
	all, installed := leaves(defaults, ""), sync.Map{}
	everything := func(t *testing.T, given values) any {
		key := fmt.Sprint(given)
		if known, is := installed.Load(key); is {
			return known
		}
		out, err := controlplane.RenderAll(chart, nested(given))
		require.NoError(t, err)
		installed.Store(key, out)
		return out
	}
	require.Greater(t, len(all), 100)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, other := values{}, otherThan(name, all[name])
			for prefix, needed := range within {
				if strings.HasPrefix(name+".", prefix+".") {
					maps.Copy(base, needed)
				}
			}
			if reflect.DeepEqual(base[name], other) {
				delete(base, name)
			}
			changed := maps.Clone(base)
			changed[name] = other
			assert.False(t, reflect.DeepEqual(everything(t, base), everything(t, changed)), "nothing goes by it")
		})
	}
}

// otherThan is what a value may be besides what it is.
func otherThan(name string, is any) any {
	if other, exactly := others[name]; exactly {
		return other
	}
	for pattern, other := range others {
		if matches, _ := path.Match(pattern, name); matches {
			return other
		}
	}
	switch is := is.(type) {
	case bool:
		return !is
	case float64:
		return is + 1
	case string:
		return "other" + is
	case []any:
		return append(slices.Clone(is), "other")
	default:
		return values{"a": "b"}
	}
}

// leaves are the values that hold no others, by their paths.
func leaves(of values, prefix string) values {
	out := values{}
	for name, value := range of {
		if within, is := value.(values); is && len(within) > 0 {
			maps.Copy(out, leaves(within, prefix+name+"."))
		} else {
			out[prefix+name] = value
		}
	}
	return out
}
