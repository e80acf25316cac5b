package review

import (
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// reason is one for which an entry cannot be carried, whatever is done about those that are moot.
type reason struct {
	code string
	moot []string
}

// hopeless: an answer that names a reason and what is moot beside it leads its author in circles.
var hopeless = []reason{
	// Its fix says what becomes of wildcards; whatever else is wrong would be, too, at the gateway of another transport that it names.
	{"raw-protocol", []string{"bare-wildcard", "wide-wildcard"}},
	{"bare-wildcard", []string{"resolution", "cidr-address", "addresses-without-resolution"}},
	{"wide-wildcard", []string{"resolution", "cidr-address", "addresses-without-resolution"}},
	{"cidr-address", []string{"resolution"}},
	{"workload-selector", []string{"static-without-endpoints", "resolution"}},
	{"unreached-address", []string{"address-taken"}},
	{"not-internal", []string{"not-internal"}},
}

// essential returns the refusals of an entry that matter: one for a field, and none that is moot while another stands.
func essential(refusals hop.Refusals) (out hop.Refusals) {
	for _, refusal := range refusals {
		moot := slices.ContainsFunc(hopeless, func(r reason) bool {
			seen := refusals
			if r.code == refusal.Code {
				// Of one kind, the first counts.
				seen = out
			}
			return slices.Contains(r.moot, refusal.Code) &&
				slices.ContainsFunc(seen, func(other egress.Finding) bool { return other.Code == r.code })
		})
		second := strings.HasPrefix(refusal.Field, "spec.hosts[") &&
			slices.ContainsFunc(out, func(other egress.Finding) bool { return other.Field == refusal.Field })
		if !moot && !second {
			out = append(out, refusal)
		}
	}
	return out
}

// beside returns the denials that say more of a refused object than its refusals. The baseline says in general what a
// refusal says exactly: of the same field or a part of it, by the same code, and that calls go past the gateway of what cannot be led
// through it.
func beside(refusals hop.Refusals, denied []policy.Violation) []policy.Violation {
	if len(refusals) == 0 {
		return denied
	}
	return slices.DeleteFunc(denied, func(v policy.Violation) bool {
		said := slices.ContainsFunc(refusals, func(refusal egress.Finding) bool {
			return refusal.Field == v.Field || strings.HasPrefix(refusal.Field, v.Field+".") || refusal.Code == v.Code
		})
		return strings.HasPrefix(v.Policy, policy.BaselinePrefix) && (said || v.Library == "require-egress-gateway" || v.Code == "client-resolution")
	})
}
