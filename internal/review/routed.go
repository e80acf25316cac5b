package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// routed refuses hosts over whose calls routes of another namespace already decide, and which nobody can narrow: the calls would
// silently end where these lead.
func routed(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	ours := s.listens(intent)
	out = slices.Concat(astray(s, ours), bySNI(s, intent, ours), unported(s, intent, ours), mapped(s, intent, ours))
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

// bySNI refuses hosts to which stored routes of the namespace lead TLS calls that ask for another, where the egress gateway goes by the SNI; what
// is stored already it is not refused for, unless it came to a gateway that did not.
func bySNI(s *subject, intent *egress.ServiceEntry, ours *egress.Entry) (out hop.Refusals) {
	if len(egress.PortsOf(ours.Ports, egress.FamilyTLS)) == 0 {
		return nil
	}
	for i, host := range ours.Hosts {
		if !goesBySNI(s.gateway.Transport, host, intent) || s.wentBySNI(host) {
			continue
		}
		by := s.seen(egress.Mapping{Host: host, Needs: egress.NeedsBySNI})
		if by == nil {
			continue
		}
		out = append(out, egress.Finding{
			Code: "other-host", Field: field.NewPath("spec", "hosts").Index(i).String(),
			Message: fmt.Sprintf("%s leads TLS calls to host %q that ask for another, and the egress gateway goes by the SNI they ask for", by, host),
			Fix:     "first take that destination out there, and " + hop.AskingBySNI(host),
		})
	}
	return out
}

// goesBySNI says whether a gateway tells TLS calls of a host by their SNI: by mutual TLS where it resolves that.
func goesBySNI(transport egress.Transport, host string, intent *egress.ServiceEntry) bool {
	return transport != egress.MutualTLS || egress.Bare(host, intent.Endpoints)
}

// wentBySNI is the same of what is stored.
func (s *subject) wentBySNI(host string) bool {
	before, was := s.listenedBefore()
	if before == nil || !slices.Contains(before.Hosts, host) || len(egress.PortsOf(before.Ports, egress.FamilyTLS)) == 0 {
		return false
	}
	leg, _ := hop.SealedLeg(s.Old, s.Mesh)
	return goesBySNI(leg.Transport, host, was)
}

// unported refuses a further HTTP port of hosts to which stored routes of the namespace lead calls under the name of another, where they do not say
// to which port.
func unported(s *subject, intent *egress.ServiceEntry, ours *egress.Entry) (out hop.Refusals) {
	http := egress.PortsOf(intent.Ports, egress.FamilyHTTP)
	if len(http) < 2 {
		return nil
	}
	before, _ := s.listenedBefore()
	for _, host := range ours.Hosts {
		had := before != nil && slices.Contains(before.Hosts, host)
		if had && len(egress.PortsOf(before.Ports, egress.FamilyHTTP)) > 1 || !had && egress.Through(s.beside(host), s.Namespace.Name, s.gateway.Name) != nil {
			continue
		}
		by := s.seen(egress.Mapping{Host: host, Needs: egress.NeedsSeveral})
		if by == nil {
			continue
		}
		at := 0
		for i, port := range intent.Ports {
			if slices.Contains(http, port.Number) && (!had || !slices.Contains(before.Ports, port)) {
				at = i
			}
		}
		out = append(out, egress.Finding{
			Code: "other-host", Field: field.NewPath("spec", "ports").Index(at).Child("number").String(),
			Message: fmt.Sprintf("%s leads calls that ask for another host to host %q, without saying to which of its several HTTP ports, and the egress gateway would go by what they ask for", by, host),
			Fix:     fmt.Sprintf("first set port.number in that destination there, to %d or another HTTP port", http[0]),
		})
	}
	return out
}

// mapped refuses ports to which stored routes of the namespace lead calls in a way in which the gateway would call another: written
// after the entry, the routes are refused for it. What is stored already is not refused.
func mapped(s *subject, intent *egress.ServiceEntry, ours *egress.Entry) (out hop.Refusals) {
	before, was := s.listenedBefore()
	http := egress.PortsOf(intent.Ports, egress.FamilyHTTP)
	for i, port := range intent.Ports {
		for _, host := range ours.Hosts {
			of, family := egress.Mapping{Host: host, Port: port.Number}, egress.FamilyOf(port.Protocol)
			by, why := s.mappedBy(of, family, http)
			if by == nil {
				continue
			}
			if before != nil && slices.Contains(before.Hosts, host) && slices.Contains(before.Ports, port) {
				if stood, _ := s.mappedBy(of, family, egress.PortsOf(was.Ports, egress.FamilyHTTP)); stood != nil {
					continue
				}
			}
			out = append(out, egress.Finding{
				Code: "port-mapping", Field: field.NewPath("spec", "ports").Index(i).Child("number").String(),
				Message: fmt.Sprintf("%s leads HTTP calls to port %d of host %q, %s", by, port.Number, host, why),
				Fix:     "first take that route out; applied after this entry, its answer says what to write in its place",
			})
			break
		}
	}
	return out
}

// mappedBy returns the routes of the namespace that lead calls to a port in a way in which the gateway would call another, and why.
func (s *subject) mappedBy(of egress.Mapping, family egress.Family, http []uint32) (by *egress.Seen, why string) {
	var needs []egress.Need
	switch {
	case family == egress.FamilyTLS:
		needs, why = append(needs, egress.NeedsTLS), "which takes TLS, in a way in which the egress gateway cannot encrypt them"
	case family == egress.FamilyHTTP && len(http) > 1:
		needs, why = append(needs, egress.NeedsSeveral), "which has several HTTP ports, and the egress gateway goes by the one in the Host header"
	}
	for _, of.Needs = range needs {
		if by = s.seen(of); by != nil {
			return by, why
		}
	}
	return nil, ""
}

// seen returns routes of the namespace that make a mapping, nil for none.
func (s *subject) seen(of egress.Mapping) *egress.Seen {
	for _, seen := range s.View.Mapped(of) {
		if seen.Namespace == s.Namespace.Name {
			return seen
		}
	}
	return nil
}
