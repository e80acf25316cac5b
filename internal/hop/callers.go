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

// pattern returns an expression for the header of the gateway's that names a caller; empty for everybody. What stands
// before the name is the gateway's own; a certificate's subject, which is quoted, cannot forge one.
func (c callers) pattern() string {
	if c.Anyone {
		return ""
	}
	var whole, some []string
	for _, namespace := range slices.Sorted(maps.Keys(c.Of)) {
		if accounts := c.Of[namespace]; accounts == nil {
			whole = append(whole, regexp.QuoteMeta(namespace))
		} else {
			some = append(some, regexp.QuoteMeta(namespace)+"/sa/"+oneOf(quoted(accounts)))
		}
	}
	if len(whole) > 0 {
		some = append(some, oneOf(whole)+`/sa/[^/;,"]+`)
	}
	if len(some) == 0 {
		// No certificate of the mesh's has this name.
		some = []string{"/"}
	}
	return `By=[^;,"]*;Hash=[^;,"]*;(Cert="[^"]*";)?Subject="[^"]*";URI=` + regexp.QuoteMeta("spiffe://"+c.mesh.TrustDomain+"/ns/") + oneOf(some)
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = regexp.QuoteMeta(name)
	}
	return out
}

func oneOf(expressions []string) string {
	if len(expressions) == 1 {
		return expressions[0]
	}
	return "(" + strings.Join(expressions, "|") + ")"
}
