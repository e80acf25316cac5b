package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A gateway goes by the Host header, and a route may keep the one of a host while it leads to another. Such a pair has a
// name of its own: the call asks the gateway for it, and its exit puts the Host header back. So does that of a host with itself, for
// calls that say nothing of the port that they are led to.

// Pair is a host that calls are for, and another that they are led to; both canonical.
type Pair struct{ Asked, Led string }

// MayPair says whether calls of a route can be made to ask for a pair: they keep the one host that they are for, and are led to
// another. Whether they are depends on the entry of that.
func (r Route) MayPair() bool {
	if r.Section != "http" || !r.Reach.Mesh || r.Reach.Gateway || r.Mirror || r.Raw["subset"] != nil || len(r.Targets) != 1 {
		return false
	}
	asked := r.Targets[0]
	return asked.OfSpec && asked.Canonical != r.Canonical && !IsWildcard(asked.Canonical) && !IsWildcard(r.Canonical)
}

// LeavesPortOut says whether a route itself has its HTTP calls ask for the very host that it leads to, and for no port of it, where that
// can be written anew: the gateway takes such calls for port 80 as soon as anybody opens that. They can be made to ask for the pair of the
// host with itself, of which they can say the port, and the host gets what the author wrote.
func (r Route) LeavesPortOut() bool {
	if r.Section != "http" || !r.Reach.Mesh || r.Reach.Gateway || r.Mirror || r.Raw["subset"] != nil || len(r.Targets) == 0 || IsWildcard(r.Canonical) ||
		r.Route["mirror"] != nil || r.Route["mirrors"] != nil {
		return false
	}
	all, _ := r.Route["route"].([]any)
	return !slices.ContainsFunc(r.Targets, func(target Target) bool {
		if target.OfSpec || target.Canonical != r.Canonical || target.Port != 0 || target.Added {
			return true
		}
		return len(all) > 1 && !strings.HasPrefix(target.Path.String(), r.HolderPath.String()) // others share it
	})
}

// Portless returns the pairs that a VirtualService's routes would make for the port that they leave out, whatever it is.
func Portless(vs *unstructured.Unstructured, mesh *Mesh) (out []Pair) {
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for route := range r.outside(Destinations(vs), GatewayNames(vs)) {
		if pair := (Pair{route.Canonical, route.Canonical}); route.Port() != 80 && route.LeavesPortOut() && !slices.Contains(out, pair) {
			out = append(out, pair)
		}
	}
	return out
}

// AskedBy returns what the calls of each destination of a VirtualService ask for.
func AskedBy(vs *unstructured.Unstructured, mesh *Mesh) (out [][]Target) {
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for _, d := range Destinations(vs) {
		out = append(out, r.targets(d))
	}
	return out
}

// ReservedSuffix is that of names that only egress-governor gives.
const ReservedSuffix = ".egress-governor.internal"

// maxHost is the length of a DNS name.
const maxHost = 253

// Host returns the pair's name. Where it could be read as that of another pair, as by hosts under the domain at, it is made
// unreadable: of two pairs of one name, one would have the other's calls.
func (p Pair) Host() string {
	const between = ".at."
	name := p.Asked + between + p.Led
	if strings.Index(name, between) != len(p.Asked) || strings.LastIndex(name, between) != len(p.Asked) {
		name = hashed(p.Asked+" "+p.Led) + ".pair"
	}
	return Reserved(name)
}

// Reserved returns a name that only egress-governor gives, shortened where it would be longer than DNS allows.
func Reserved(name string) string {
	if len(name)+len(ReservedSuffix) > maxHost {
		name = hashed(name) + ".short"
	}
	return name + ReservedSuffix
}

func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// IsReserved says whether a host is a name that only egress-governor gives.
func IsReserved(host string) bool { return strings.HasSuffix(Canonical(host), ReservedSuffix) }
