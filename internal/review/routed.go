package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// routed refuses hosts over whose calls routes of another namespace already decide, and which nobody can narrow: the calls would
// silently end where these lead.
func routed(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	ours := s.listens(intent)
	out = astray(s, ours)
	for i, host := range ours.Hosts {
		by := ours.TakenBy(host, s.View)
		if by == nil {
			continue
		}
		out = append(out, egress.Finding{
			Code: "host-routed", Field: field.NewPath("spec", "hosts").Index(i).String(),
			Message: fmt.Sprintf("%s decides over calls to host %q for everybody who sees it, since it is for gateways and the mesh at once, so they would not leave by this entry", by, intent.Hosts[i]),
			Fix:     fmt.Sprintf("call the host without an entry if its owners serve it in the mesh, or ask the owners of %s to take the gateway mesh out of it", by),
		})
	}
	return out
}

// astray refuses hosts to which stored routes of the namespace lead calls that ask for another host: without the entry these fail,
// and with it they would end at the other, which the egress gateway goes by.
func astray(s *subject, ours *egress.Entry) (out hop.Refusals) {
	for i, host := range ours.Hosts {
		ask := fmt.Sprintf("set headers.request.set.host: %s beside that destination there", host)
		if egress.IsWildcard(host) {
			ask = fmt.Sprintf("set headers.request.set.host beside that destination there, to a name below %s", host)
		}
		for _, by := range s.View.Astray(host) {
			if by.Namespace == ours.Namespace {
				out = append(out, egress.Finding{
					Code: "other-host", Field: field.NewPath("spec", "hosts").Index(i).String(),
					Message: fmt.Sprintf("%s leads calls to host %q that ask for another, and the egress gateway goes by what they ask for", by, host),
					Fix:     "first " + ask + "; where it is a mirror, or of a TLS port, take it out",
				})
				break
			}
		}
	}
	return out
}
