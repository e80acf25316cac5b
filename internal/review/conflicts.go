package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// conflicts finds hosts that another entry defines otherwise: the first comer keeps the exit, and may not change it
// under those who came after and agreed. What is stored already and is not made worse is no conflict of this write.
func conflicts(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) (out []egress.Conflict) {
	definition, was := intent.Define(), before(s)
	for i, host := range intent.Hosts {
		canonical := egress.Canonical(host)
		if old, named := was[canonical]; named && old.Differs(definition) == "" {
			continue
		}
		owner := s.Mesh.Owner(s.View, canonical, sealed.Namespace())
		if owner == nil {
			continue
		}
		others := []*egress.Entry{owner}
		if s.is(owner) {
			others = s.agreed(canonical, owner)
		}
		for _, other := range others {
			if reason := other.Definition.Differs(definition); reason != "" {
				out = append(out, egress.Conflict{Host: host, Reason: reason, Path: field.NewPath("spec", "hosts").Index(i), Owner: other})
				break
			}
		}
	}
	return out
}

// before returns how the stored object defined its hosts; nothing where there is none.
func before(s *subject) map[string]egress.Definition {
	if s.oldIntent == nil {
		return nil
	}
	parsed, err := hop.ParseEntry(s.oldIntent)
	if err != nil || !parsed.External() {
		return nil
	}
	out, definition := map[string]egress.Definition{}, parsed.Define()
	for _, host := range parsed.Hosts {
		out[egress.Canonical(host)] = definition
	}
	return out
}

// agreed returns the other entries of a host that its owner's exit carries.
func (s *subject) agreed(host string, owner *egress.Entry) []*egress.Entry {
	at, _ := s.Mesh.GatewayByName(owner.Gateway)
	return slices.DeleteFunc(slices.Clone(s.View.Entries(host)), func(other *egress.Entry) bool {
		gw, known := s.Mesh.GatewayByName(other.Gateway)
		return s.is(other) || !known || gw.Namespace() != at.Namespace() || owner.Definition.Differs(other.Definition) != ""
	})
}

// is says whether a stored entry is the object itself.
func (s *subject) is(entry *egress.Entry) bool {
	return entry.Namespace == s.Object.GetNamespace() && entry.Name == s.Object.GetName()
}

func refusalOf(conflict egress.Conflict) egress.Finding {
	other := conflict.Owner.Namespace + "/" + conflict.Owner.Name
	return egress.Finding{
		Code: "host-conflict", Field: conflict.Path.String(),
		Message: fmt.Sprintf("host %q is already defined otherwise by ServiceEntry %s: %s", conflict.Host, other, conflict.Reason),
		Fix:     fmt.Sprintf("define the host as ServiceEntry %s does, or agree with its owners on one definition", other),
	}
}
