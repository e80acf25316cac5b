package review

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// contradicted tells the author of an entry of ports whose protocol is another than their number or name says. A port that calls leave
// encrypted by, or that leads to another, is meant so.
func contradicted(s *subject, intent *egress.ServiceEntry) (out []string) {
	for i, port := range intent.Ports {
		is, said := egress.FamilyOf(port.Protocol), saysFamily(port)
		if said == is || port.TargetPort != 0 || s.encrypts(intent, port) {
			continue
		}
		const inClear, encrypted = "in clear", "that apps encrypt themselves"
		what := fmt.Sprintf("%s: port %d, %q, is %s, so that calls %%s alone are this entry's; those %%s are of no entry, and leave past the gateway where the mesh lets them: ",
			field.NewPath("spec", "ports").Index(i).Child("protocol"), port.Number, port.Name, port.Protocol)
		switch {
		case said == egress.FamilyTLS && is == egress.FamilyHTTP:
			out = append(out, fmt.Sprintf(what, inClear, encrypted)+"if apps open TLS, declare TLS; if they call in clear, set tls for the port in a DestinationRule")
		case said == egress.FamilyHTTP && is == egress.FamilyTLS:
			out = append(out, fmt.Sprintf(what, encrypted, inClear)+"if apps call in clear, declare HTTP")
		}
	}
	return out
}

// encrypts says whether the gateway encrypts HTTP calls of a port to some host of an entry.
func (s *subject) encrypts(intent *egress.ServiceEntry, port egress.Port) bool {
	for _, host := range intent.Hosts {
		if s.View.Rule(s.Namespace.Name, egress.Canonical(host)).TLS(port.Number) != nil {
			return egress.FamilyOf(port.Protocol) == egress.FamilyHTTP
		}
	}
	return false
}

// saysFamily is what everybody takes a port for by its number, or else by its name; empty where these say nothing.
func saysFamily(port egress.Port) egress.Family {
	switch port.Number {
	case 80:
		return egress.FamilyHTTP
	case 443:
		return egress.FamilyTLS
	}
	kind, _, _ := strings.Cut(port.Name, "-")
	return egress.FamilyOf(kind)
}
