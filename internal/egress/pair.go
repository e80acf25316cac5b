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

// ReservedSuffix is that of names that only egress-governor gives.
const ReservedSuffix = ".egress-governor.internal"

// maxHost is the length of a DNS name.
const maxHost = 253

// Host returns the pair's name.
func (p Pair) Host() string {
	return Reserved(p.Asked + ".at." + p.Led)
}

// Reserved returns a name that only egress-governor gives, shortened where it would be longer than DNS allows.
func Reserved(name string) string {
	if len(name)+len(ReservedSuffix) > maxHost {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:16]) + ".short"
	}
	return name + ReservedSuffix
}

// IsReserved says whether a host is a name that only egress-governor gives.
func IsReserved(host string) bool { return strings.HasSuffix(Canonical(host), ReservedSuffix) }
