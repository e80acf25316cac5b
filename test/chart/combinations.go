// Package chart holds the chart to what the webhook needs of it, and has the combinations of values in which others hold it, too.
package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

type values = map[string]any

// axes are what operators choose between, by name: for each choice the values that make it, at paths.
var axes = map[string]map[string]values{
	"cluster": {"v1.30.0": nil, "v1.31.0": nil, "v1.35.0": nil},
	"certificates": {
		"selfManaged": nil, "certManager": {"certificates.mode": "certManager"},
		"issuer": {"certificates.mode": "certManager", "certificates.issuerRef": values{"kind": "ClusterIssuer", "name": "corporate"}},
		"secret": {"certificates.mode": "existingSecret", "certificates.existingSecret": "tls", "certificates.caBundle": "Y2E="},
	},
	"gateway": {
		"Istio's": nil, "own": {"gateway.create": true}, "own, resolving": {"gateway.create": true, "gateway.wildcards": "Resolve", "config.clusterCIDRs": []any{"10.96.0.0/12"}},
		"named": {"config.gateways": []any{gatewayValues("Plain")}}, "by mutual TLS": {"config.gateways": []any{gatewayValues("MutualTLS")}},
		"with a waypoint": {"config.gateways": []any{with(gatewayValues("Plain"), "waypoint", values{"name": "waypoint", "namespace": "ways"})}},
	},
	"mode":       {"Enforce": nil, "Observe": {"mode": "Observe"}},
	"entries":    {"Seal": nil, "Leave": {"config.serviceEntries": "Leave"}},
	"routes":     {"Inject": nil, "Leave": {"config.virtualServices": "Leave"}},
	"exports":    {"AsWritten": nil, "OwnNamespace": {"config.exportTo": "OwnNamespace"}},
	"DNS":        {"Detect": nil, "On": {"config.dnsCapture": "On"}, "Off": {"config.dnsCapture": "Off"}},
	"closing":    {"open": nil, "closed": {"config.unregistered": "Block", "config.networkPolicies": "Manage"}},
	"guards":     {"on": nil, "off": {"guards.enabled": false}, "warn": {"guards.traffic.enforcement": "Warn"}},
	"baseline":   {"Deny": nil, "Off": {"baseline.enforcement": "Off"}},
	"monitoring": {"off": nil, "all": {"metrics.serviceMonitor.enabled": true, "metrics.rules.enabled": true, "metrics.dashboard.enabled": true}, "in the open": {"metrics.serviceMonitor.enabled": true, "metrics.authenticate": false}},
	"tracing":    {"off": nil, "on": {"tracing.endpoint": "http://collector:4317"}, "by TLS": {"tracing.endpoint": "https://collector:4318", "tracing.protocol": "http/protobuf", "tracing.caConfigMap": "ca"}},
	"replicas":   {"two": nil, "scaled": {"autoscaling.enabled": true}, "one": {"replicaCount": 1}},
	"doors":      {"open": nil, "closed": {"networkPolicy.enabled": true, "networkPolicy.apiServer": []any{values{"ipBlock": values{"cidr": "192.0.2.1/32"}}}, "networkPolicy.metrics": []any{values{"namespaceSelector": values{}}}, "webhook.clientCAConfigMap": "ca"}},
	"bundles":    {"none": nil, "a Secret alone": {"opa.secretName": "bundles"}, "some": {"opa.secretName": "bundles", "config.opa": values{"services": values{"a": values{"url": "https://bundles.test"}}, "bundles": values{"a": values{"service": "a", "resource": "a.tar.gz"}}}}},
	"name":       {"of the release": nil, "long": {"fullnameOverride": strings.Repeat("egress-", 9)}},
}

func gatewayValues(transport string) values {
	return values{"name": "out", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 80, "tls": 443}, "transport": transport}
}

func with(of values, key string, value any) values {
	out := maps.Clone(of)
	out[key] = value
	return out
}

// supported says whether choices go together: where entries are left and routes injected, what needs sealed entries is refused.
func supported(row map[string]string) bool {
	if row["entries"] != "Leave" || row["routes"] != "Inject" {
		return true
	}
	return row["exports"] != "OwnNamespace" && (row["gateway"] == "Istio's" || row["gateway"] == "named" || row["gateway"] == "")
}

type pair [2][2]string

// Combinations are choices, one of each axis, in which every choice stands beside every other of another axis that it goes together with.
func Combinations() (out []map[string]string) {
	names := slices.Sorted(maps.Keys(axes))
	left := map[pair]bool{}
	for i, a := range names {
		for _, b := range names[i+1:] {
			for x := range axes[a] {
				for y := range axes[b] {
					if supported(map[string]string{a: x, b: y}) {
						left[pair{{a, x}, {b, y}}] = true
					}
				}
			}
		}
	}
	for len(left) > 0 {
		seed := slices.MinFunc(slices.Collect(maps.Keys(left)), func(a, b pair) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		row := map[string]string{seed[0][0]: seed[0][1], seed[1][0]: seed[1][1]}
		for _, name := range names {
			if row[name] == "" {
				row[name] = best(row, name, left)
			}
		}
		for _, of := range pairsOf(row) {
			delete(left, of)
		}
		out = append(out, row)
	}
	return out
}

// best is the choice of an axis that stands beside the most that it did not stand beside yet.
func best(row map[string]string, name string, left map[pair]bool) (out string) {
	most := -1
	for _, choice := range slices.Sorted(maps.Keys(axes[name])) {
		next := maps.Clone(row)
		next[name] = choice
		count := 0
		for _, of := range pairsOf(next) {
			if left[of] {
				count++
			}
		}
		if supported(next) && count > most {
			out, most = choice, count
		}
	}
	return out
}

func pairsOf(row map[string]string) (out []pair) {
	names := slices.Sorted(maps.Keys(row))
	for i, a := range names {
		for _, b := range names[i+1:] {
			out = append(out, pair{{a, row[a]}, {b, row[b]}})
		}
	}
	return out
}

// Values are those of a combination.
func Values(row map[string]string) map[string]any {
	out := values{}
	for name, choice := range row {
		maps.Copy(out, axes[name][choice])
	}
	return nested(out)
}

// nested are values that are given by their paths.
func nested(byPath values) values {
	out := values{}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		parent, parts := out, strings.Split(path, ".")
		for _, part := range parts[:len(parts)-1] {
			next, _ := parent[part].(values)
			if next == nil {
				next = values{}
			}
			parent[part], parent = next, next
		}
		parent[parts[len(parts)-1]] = byPath[path]
	}
	return out
}
