package hop

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// callers are who may call a port of an exit, as gateways are told.
type callers struct {
	egress.Callers
	mesh *egress.Mesh
	view egress.View
}

// names returns the SPIFFE names of the callers; nil for everybody, empty for nobody.
func (c callers) names() []string {
	if c.Anyone {
		return nil
	}
	out := []string{}
	for _, namespace := range slices.Sorted(maps.Keys(c.Of)) {
		accounts := c.Of[namespace]
		if accounts == nil {
			accounts = c.view.ServiceAccounts(namespace)
		}
		for _, account := range accounts {
			out = append(out, c.mesh.Identity(namespace, account))
		}
	}
	return out
}

// maxPattern is the length of an expression, in bytes, that proxies take: Istio has them reject one of more than 32768
// steps, and with it all their routes.
const maxPattern = 8 << 10

// patterns returns expressions for the header of the gateway's that names a caller, one of which a caller's matches; nil
// for everybody. What stands before the name is the gateway's own; a certificate's subject, which is quoted, cannot forge
// one.
func (c callers) patterns() (out []string) {
	if c.Anyone {
		return nil
	}
	const before = `By=[^;,"]*;Hash=[^;,"]*;(Cert="[^"]*";)?Subject="[^"]*";URI=`
	prefix := before + regexp.QuoteMeta("spiffe://"+c.mesh.TrustDomain+"/ns/")
	for _, some := range chunks(c.identities()) {
		out = append(out, prefix+oneOf(some))
	}
	if len(out) == 0 {
		// No certificate of the mesh's has this name.
		return []string{prefix + "/"}
	}
	return out
}

// identities returns an expression for each namespace and, where the callers are some of its service accounts, each of
// these.
func (c callers) identities() (out []string) {
	for _, namespace := range slices.Sorted(maps.Keys(c.Of)) {
		of := regexp.QuoteMeta(namespace) + "/sa/"
		if c.Of[namespace] == nil {
			out = append(out, of+`[^/;,"]+`)
		}
		for _, account := range c.Of[namespace] {
			out = append(out, of+regexp.QuoteMeta(account))
		}
	}
	return out
}

// chunks parts expressions so that none of the parts grows too long.
func chunks(expressions []string) (out [][]string) {
	size := maxPattern
	for _, expression := range expressions {
		if size += len(expression) + 1; size > maxPattern {
			out, size = append(out, nil), len(expression)
		}
		out[len(out)-1] = append(out[len(out)-1], expression)
	}
	return out
}

func oneOf(expressions []string) string {
	if len(expressions) == 1 {
		return expressions[0]
	}
	return "(" + strings.Join(expressions, "|") + ")"
}
