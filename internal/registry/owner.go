package registry

import (
	"fmt"
	"reflect"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Owner returns the entry that defines a host for a gateway: the oldest that is sealed to it; nil for none. Entries
// come oldest first.
func Owner(entries []*egress.Entry, gateway string) *egress.Entry {
	for _, entry := range entries {
		if entry.Gateway == gateway && entry.External {
			return entry
		}
	}
	return nil
}

// Differs returns how another definition of a host differs from the owner's, "" when it does not.
func Differs(owner, other egress.Definition) string {
	if owner.Resolution != other.Resolution {
		return fmt.Sprintf("its resolution is %s there and %s here", owner.Resolution, other.Resolution)
	}
	ports := map[uint32]egress.Port{}
	for _, port := range owner.Ports {
		ports[port.Number] = port
	}
	for _, port := range other.Ports {
		theirs, ok := ports[port.Number]
		switch {
		case !ok:
			return fmt.Sprintf("port %d is not declared there", port.Number)
		case theirs.Protocol != port.Protocol:
			return fmt.Sprintf("port %d is %s there and %s here", port.Number, theirs.Protocol, port.Protocol)
		case theirs.TargetPort != port.TargetPort:
			return fmt.Sprintf("port %d has another targetPort there", port.Number)
		}
		delete(ports, port.Number)
	}
	for _, port := range owner.Ports {
		if _, missing := ports[port.Number]; missing {
			return fmt.Sprintf("port %d is declared there and not here", port.Number)
		}
	}
	if len(owner.Endpoints) != len(other.Endpoints) || (len(owner.Endpoints) > 0 && !reflect.DeepEqual(owner.Endpoints, other.Endpoints)) {
		return "its endpoints are others"
	}
	return ""
}
