package review

import (
	"fmt"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// exported are the kinds whose exportTo says which sidecars go by them.
var exported = []string{"DestinationRule", "ServiceEntry", "VirtualService"}

// unreachable refuses an exportTo that names no namespace. What is stored already keeps nobody from writing the rest.
func unreachable(s *subject) hop.Refusals {
	if !s.Mesh.Carries() || s.restated() || !slices.Contains(exported, s.Object.GetKind()) {
		return nil
	}
	return hop.CheckExport(s.intent)
}

// unseen tells the author of an entry that his own namespace does not see it, and nothing else that has the host: what he tries first would
// not leave by the gateway.
func unseen(s *subject) []string {
	own := s.Namespace.Name
	parsed, err := s.entry()
	if err != nil || egress.Exports(s.exportTo(), own, own) {
		return nil
	}
	for _, host := range parsed.Hosts {
		others := slices.DeleteFunc(slices.Clone(s.View.Entries(egress.Canonical(host))), func(entry *egress.Entry) bool {
			return entry.Namespace == own && entry.Name == s.Object.GetName()
		})
		if egress.Serving(others, own) == nil {
			return []string{fmt.Sprintf(`spec.exportTo: namespace %q itself is left out, and calls of its pods to %s do not go by this entry, nor by the egress gateway; add "." for them`, own, host)}
		}
	}
	return nil
}
