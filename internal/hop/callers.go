package hop

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// callers are who may call a port of an exit, as gateways are told, by the namespaces that let them in.
type callers struct {
	egress.Grants
	mesh *egress.Mesh
	view egress.View
}

// What a namespace's entries add to a port that others share is bounded, in bytes: whoever has thousands of service
// accounts, or names them, is cut short himself, and does not make the exit too large to be stored.
const (
	maxOfClient = 16 << 10
	maxGranted  = 512 << 10
)

// bounded returns what is said of each client, as of gives it, each once: of the namespace that grants it first.
func (c callers) bounded(of func(namespace string, accounts []string) []string) []string {
	out, seen := []string{}, map[string]bool{}
	for _, granting := range slices.Sorted(maps.Keys(c.Grants)) {
		clients, granted := c.Grants[granting].Of, 0
		names := slices.Sorted(maps.Keys(clients))
		if i := slices.Index(names, granting); i > 0 {
			names = slices.Insert(slices.Delete(names, i, i+1), 0, granting)
		}
		for _, client := range names {
			size := 0
			for _, item := range of(client, clients[client]) {
				size, granted = size+len(item), granted+len(item)
				if size > maxOfClient || granted > maxGranted {
					break
				}
				if !seen[item] {
					seen[item] = true
					out = append(out, item)
				}
			}
		}
	}
	return out
}

// names returns the SPIFFE names of the callers; nil for everybody, empty for nobody.
func (c callers) names() []string {
	if c.Anyone() {
		return nil
	}
	return c.bounded(func(namespace string, accounts []string) []string {
		if accounts == nil {
			accounts = c.view.ServiceAccounts(namespace)
		}
		out := make([]string, len(accounts))
		for i, account := range accounts {
			out[i] = c.mesh.Identity(namespace, account)
		}
		return out
	})
}

// maxPattern is the length of an expression, in bytes, that proxies take: Istio has them reject one of more than 32768
// steps, and with it all their routes.
const maxPattern = 8 << 10

// patterns returns expressions for the header of the gateway's that names a caller, one of which a caller's matches; nil
// for everybody. What stands before the name is the gateway's own; a certificate's subject, which is quoted, cannot forge
// one.
func (c callers) patterns() (out []string) {
	if c.Anyone() {
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
func (c callers) identities() []string {
	return c.bounded(func(namespace string, accounts []string) []string {
		of := regexp.QuoteMeta(namespace) + "/sa/"
		if accounts == nil {
			return []string{of + `[^/;,"]+`}
		}
		out := make([]string, len(accounts))
		for i, account := range accounts {
			out[i] = of + regexp.QuoteMeta(account)
		}
		return out
	})
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
