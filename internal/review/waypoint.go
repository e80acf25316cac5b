package review

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What ambient mode asks of an entry, which knows hosts by their addresses, and waypoints by labels.

// relabelled says whether the stored object will differ in its labels from the one before.
func (s *subject) relabelled() bool {
	return s.Old == nil || !maps.Equal(s.Old.GetLabels(), s.Object.GetLabels())
}

// unaddressed refuses hosts whose calls pods in ambient mode would make straight, since ztunnel knows no address of theirs.
func unaddressed(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	if !egress.Ambient(s.Namespace.Labels) {
		return nil
	}
	for i, host := range intent.Hosts {
		if why := intent.Unaddressed(egress.Canonical(host), s.Object.GetLabels()); why != "" {
			out = append(out, egress.Finding{
				Code: "no-address", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("host %q has no address, by which alone ambient mode knows it, and calls to it would leave directly: %s", host, why),
				Fix:     "name the hosts one by one, without that label, or give spec.addresses that the app dials",
			})
		}
	}
	return out
}

// boundTwice refuses a second entry of a host at one waypoint: it serves one of the two, whichever, and drops the calls by the
// other.
func boundTwice(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	waypoint := s.gateway.WaypointOf(s.Namespace.Name)
	if waypoint.Name == "" {
		return nil
	}
	for i, host := range intent.Hosts {
		for _, other := range s.View.Entries(egress.Canonical(host)) {
			if other.Waypoint != waypoint || s.is(other) || other.Terminating {
				continue
			}
			fix := "ask its owners to export it to your namespace, which then needs none of its own, or the platform team for a waypoint of your namespace's own"
			if other.Namespace == s.Namespace.Name {
				fix = "merge the two into one ServiceEntry"
			}
			out = append(out, egress.Finding{
				Code: "waypoint-host", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("host %q is in ServiceEntry %s/%s already, and waypoint %s serves one entry of a host: calls by the other would be lost",
					host, other.Namespace, other.Name, waypoint),
				Fix: fix,
			})
			break
		}
	}
	return out
}

// checkBound holds an entry against the waypoint that it would be bound to: spec alone is not all that is sealed.
func (s *subject) checkBound(want egress.Waypoint) hop.Refusals {
	have := hop.BoundTo(s.Object)
	if have == want || want.Name == "" {
		return nil
	}
	return hop.Refusals{{
		Code: "not-bound", Field: field.NewPath("metadata", "labels").Key(egress.UseWaypoint).String(),
		Message: fmt.Sprintf("the entry is not bound to waypoint %s, which checks who calls", want),
		Fix:     "apply it again; if this stays, another mutating webhook rewrites ServiceEntries",
	}}
}
