package egress

import (
	"fmt"
	"slices"
)

// Contradiction is why an entry has no part in an exit. The zero value is none.
type Contradiction struct {
	// Owner is the entry that says otherwise.
	Owner *Entry
	// Reason says in what.
	Reason string
	// SecondTLS says that it is in a further TLS port of the host, which a gateway by mutual TLS would tell from the other.
	SecondTLS bool
	// TooMany says that it is in how many ports there would be.
	TooMany bool
	// Encrypts says that it is in how calls of a port are encrypted, as a DestinationRule says.
	Encrypts bool
}

// maxPorts is how many ports an entry may have by its schema, that of an exit too.
const maxPorts = 256

// Against returns what an entry of this definition would contradict. A nil exit contradicts nothing.
func (e *Exit) Against(definition Definition) Contradiction {
	if e == nil {
		return Contradiction{}
	}
	if known, is := e.knows(definition); is {
		return known
	}
	return e.against(definition)
}

func (e *Exit) against(definition Definition) Contradiction {
	if len(e.Members) > 0 {
		if reason := e.Definition.contradicts(definition); reason != "" {
			return Contradiction{Owner: e.Owner(), Reason: reason}
		}
	}
	if ports := len(e.ports) + e.lacking(definition); len(e.Members) > 0 && ports > maxPorts {
		return Contradiction{Owner: e.Owner(), TooMany: true, Reason: fmt.Sprintf("with those here it would have %d ports, and an entry has %d at most", ports, maxPorts)}
	}
	for _, port := range definition.Ports {
		if against := e.encryption(port, definition.TLS[port.Number]); against.Owner != nil {
			return against
		}
		if against := e.port(port, definition); against.Owner != nil {
			return against
		}
	}
	return Contradiction{}
}

// lacking returns how many ports of a definition the exit does not have.
func (e *Exit) lacking(definition Definition) (out int) {
	for _, port := range definition.Ports {
		if _, has := e.defined(port.Number); !has {
			out++
		}
	}
	return out
}

// encryption holds the calls of a port that a gateway encrypts against those of others. An app that speaks TLS itself
// needs no encryption, and whoever gives it one has it for the calls that routes lead there from an HTTP port.
func (e *Exit) encryption(port Port, tls map[string]any) Contradiction {
	theirs, taken := e.encrypted(port.Number)
	inClear, _ := e.defined(port.Number)
	speaksTLS := FamilyOf(port.Protocol) == FamilyTLS
	switch {
	case sameTLS(theirs.settings, tls), speaksTLS && (!taken || tls == nil):
		return Contradiction{}
	case !taken && inClear.by == nil:
		return Contradiction{}
	}
	by := theirs.by
	if !taken {
		by = inClear.by
	}
	there, here := encrypted(theirs.settings), encrypted(tls)
	if there == here {
		here += " with other settings"
	}
	return Contradiction{Owner: by, Encrypts: true, Reason: fmt.Sprintf("port %d is called %s there and %s here", port.Number, there, here)}
}

func (e *Exit) port(port Port, of Definition) Contradiction {
	theirs, taken := e.defined(port.Number)
	switch {
	case taken && theirs.Protocol != port.Protocol:
		return Contradiction{Owner: theirs.by, Reason: fmt.Sprintf("port %d is %s there and %s here", port.Number, theirs.Protocol, port.Protocol)}
	case taken && !slices.Equal(e.Definition.at(theirs.Port), of.at(port)):
		return Contradiction{Owner: theirs.by, Reason: fmt.Sprintf("port %d leads to another port there", port.Number)}
	case taken || !e.oneTLS || FamilyOf(port.Protocol) != FamilyTLS:
		return Contradiction{}
	}
	for _, other := range e.ports {
		if FamilyOf(other.Protocol) == FamilyTLS {
			return Contradiction{
				Owner: other.by, SecondTLS: true,
				Reason: fmt.Sprintf("TLS is on port %d there and on port %d here, and a gateway that goes by SNI has one for both", other.Number, port.Number),
			}
		}
	}
	return Contradiction{}
}

// Shadows says in what an exit of one host would lead calls otherwise that another makes for a wildcard over it, "" for
// nothing: the gateway goes by the host, for clients of both. Without endpoints of its own the host is itself, and that
// is what was called.
func (e *Exit) Shadows(wildcard *Exit) string {
	if len(e.Definition.Endpoints) > 0 && !slices.EqualFunc(e.Definition.Endpoints, wildcard.Definition.Endpoints, func(a, b Endpoint) bool { return a.Address == b.Address }) {
		return "its endpoints are others"
	}
	for _, port := range wildcard.Definition.Ports {
		own, has := e.defined(port.Number)
		switch {
		case !has && (FamilyOf(port.Protocol) == FamilyHTTP || e.hasFamily(FamilyTLS)):
			return fmt.Sprintf("port %d is only in the wildcard's", port.Number)
		case has && own.Protocol != port.Protocol:
			return fmt.Sprintf("port %d is %s in one and %s in the other", port.Number, port.Protocol, own.Protocol)
		}
	}
	return ""
}

func (e *Exit) hasFamily(family Family) bool {
	for _, port := range e.ports {
		if FamilyOf(port.Protocol) == family {
			return true
		}
	}
	return false
}
