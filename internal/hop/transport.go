package hop

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// transport is how calls travel from a client to an egress gateway: what it can carry, what a sealed entry looks like,
// and how the gateway takes what arrives.
type transport interface {
	// check returns why the ports of an entry cannot be carried to the gateway.
	check(entry *egress.ServiceEntry, gw egress.Gateway) Refusals
	// seal returns the fields of the spec that take the entry's calls to the gateway, in place of the author's.
	seal(entry *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) map[string]any
	// servers returns what the gateway opens for all hosts alike.
	servers(gw egress.Gateway) []*networking.Server
	// routes returns what leads the calls of one exit on from the gateway, in the order of writing.
	routes(gw egress.Gateway, exit served) []Object
	// resolve returns the patches by which the gateway resolves the names below a wildcard that TLS calls of a port are for, by
	// filters that stand before the one that calls.
	resolve(host string, port uint32, filters []any) []any
	// pair returns the routes of the calls of a pair, whose exit is that of the host that they are led to.
	pair(gw egress.Gateway, exit served, pair egress.Pair) []*networking.HTTPRoute
}

// served is an exit as the calls of one client leg have it.
type served struct {
	host       string
	definition egress.Definition
	// owner is the name of the oldest entry.
	owner string
	// callers returns who may call a port, by SPIFFE names and patterns of them.
	callers func(port uint32) callers
	// byHost are those of an HTTP port by its host, and by the wildcards that stand for it: the gateway leads calls of both
	// here.
	byHost func(port uint32) callers
	// certified is the same of a port that is called with a client's certificate.
	certified func(port uint32) callers
}

// transports is the table of them, one row a name of the configuration.
var transports = map[egress.Transport]transport{
	egress.Plain:     plain{},
	egress.MutualTLS: mutualTLS{},
}

// transportOf returns a gateway's. The configuration has checked its name; the zero value is Plain.
func transportOf(gw egress.Gateway) transport {
	if gw.Transport == "" {
		return plain{}
	}
	return transports[gw.Transport]
}
