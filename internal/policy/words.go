package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What every input says again and again: OPA has one value of each such word, instead of one for each place of it. It takes them
// before anything is evaluated alone, as variables are given their values.
var _ = interned(inputWords, objectWords)

func interned(lists ...[]string) bool {
	for _, words := range lists {
		ast.InternStringTerm(words...)
	}
	return true
}

// inputWords are the fields of the input (policies/schemas/input.json), and what stands in them.
var inputWords = slices.Concat([]string{
	"allClients", "annotations", "apiVersion", "canonical", "client", "clients", "clusterDomain", "conflicts", "dryRun", "egress", "endpoint", "field",
	"from", "gateway", "groups", "host", "hosts", "inMesh", "internal", "ip", "kind", "labels", "leaves", "name", "namespace", "object", "oldObject",
	"onGateways", "onGatewaysForOthers", "operation", "owner", "parameters", "patterns", "port", "protocol", "reason", "routes", "serviceAccounts",
	"stored", "time", "user", "via", "wildcard",
}, []string{
	"AUDIT", "CREATE", "UPDATE", "direct", "gateway", "input.egress-governor.io/v1alpha1", "mesh", "unregistered",
	"DestinationRule", "EnvoyFilter", "GRPCRoute", "Gateway", "HTTPRoute", "ProxyConfig", "ServiceEntry", "Sidecar", "TCPRoute", "TLSRoute",
	"TrafficExtension", "VirtualService", "WasmPlugin", "WorkloadEntry", "WorkloadGroup",
})

// objectWords are those that most objects have.
var objectWords = []string{
	"address", "addresses", "destination", "endpoints", "exact", "exportTo", "http", "location", "match", "metadata", "number", "ports", "prefix",
	"regex", "resolution", "route", "spec", "targetPort", "tcp", "tls", "uri", "weight",
	"DNS", "GRPC", "HTTP", "HTTPS", "MESH_EXTERNAL", "MESH_INTERNAL", "TCP", "TLS", "networking.istio.io/v1",
}
