package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A gateway goes by the Host header, and a route may keep the one of a host while it leads to another. Such a pair has a
// name of its own: the call asks the gateway for it, and its exit puts the Host header back.

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
