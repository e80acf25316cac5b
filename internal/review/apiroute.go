package review

import (
	"fmt"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// boundAPIRoute refuses a route that is too much work to look at: what it is attached to has hosts, and its rules are read for
// each of them.
func boundAPIRoute(route *egress.APIRoute) hop.Refusals {
	hosts, wildcards, values := route.Size()
	if hosts*values <= maxPairs && wildcards <= maxWildcards {
		return nil
	}
	return hop.Refusals{{
		Code: codeTooLarge, Field: "spec.parentRefs",
		Message: fmt.Sprintf("%d hosts of parents and %d values of rules are more than %d pairs, or of the hosts more than %d are wildcards", hosts, values, maxPairs, maxWildcards),
		Fix:     "spread the parents over several objects",
	}}
}

// examineAPIRoute looks at a route of the Gateway API, which is stored as it is. What is stored already, and stays, keeps
// nobody from writing the rest.
func examineAPIRoute(s *subject) (egress.Facts, hop.Refusals) {
	route := egress.ReadAPIRoute(s.Object, s.Mesh, s.View)
	if refusals := boundAPIRoute(route); len(refusals) > 0 {
		return egress.Facts{Gateway: s.gateway.Name}, refusals
	}
	facts := egress.GatewayAPIFacts(route, s.gateway)
	if !s.changed() {
		return facts, nil
	}
	return facts, slices.Concat(hop.CheckAPIRoute(route), hop.CheckExpressions(s.Object), hop.CheckAPIValues(s.Object))
}
