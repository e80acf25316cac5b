// Package trace says what becomes of a call, by what a cluster has stored: which entry and which route take it, by which egress
// gateway it leaves, and why it does not. It takes objects and returns objects; where Istio's own generator would lead the
// calls of every routing case, a test of test/routing holds it to.
package trace

import (
	"cmp"
	"slices"
)

// Ends is how a way of a call ends.
type Ends string

// The ends of calls.
const (
	// AtGateway: an egress gateway takes it, and leads it on.
	AtGateway Ends = "Gateway"
	// Blocked: it leads nowhere, at the client or at the gateway.
	Blocked Ends = "Blocked"
	// InMesh: it stays in the mesh.
	InMesh Ends = "Mesh"
	// Straight: it leaves past every egress gateway.
	Straight Ends = "Straight"
)

// Object is a stored object, and the field of it that decides.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Field     string `json:"field,omitempty"`
}

// Way is one way that calls may go.
type Way struct {
	Ends Ends `json:"ends"`
	// When says which of the calls go it, where not all do.
	When []string `json:"when,omitempty"`
	// Copy says that a route copies the calls there, and nobody waits for what becomes of the copies.
	Copy bool `json:"copy,omitempty"`
	// Entry is the ServiceEntry or the Service by which the client's sidecar knows the host, Route what leads the calls there.
	Entry *Object `json:"entry,omitempty"`
	Route *Object `json:"route,omitempty"`
	// Gateway is the egress gateway that the calls come to, Exit what of it takes or refuses them.
	Gateway string  `json:"gateway,omitempty"`
	Exit    *Object `json:"exit,omitempty"`
	// To is where the last proxy leads them, as host:port; Encrypted says that it speaks TLS by itself.
	To        []string `json:"to,omitempty"`
	Encrypted bool     `json:"encrypted,omitempty"`
	// Admits says whom the gateway lets in to that exit.
	Admits string `json:"admits,omitempty"`
	// Ready is what the entry's condition ExitReady says, where it has one.
	Ready *Ready `json:"ready,omitempty"`
	// Why says how it comes to that, Change what would have to change for the calls to leave by a gateway.
	Why    string `json:"why"`
	Change string `json:"change,omitempty"`

	// rest says that it is for the calls that no route takes.
	rest bool
}

// Ready is the condition ExitReady of an entry.
type Ready struct {
	Status    string `json:"status"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	Suspended bool   `json:"suspended,omitempty"`
}

// Rest says that the way is for calls that none of a host's routes take.
func (w Way) Rest() bool { return w.rest }

// Outcome is what becomes of a call.
type Outcome struct {
	Call Call `json:"call"`
	// Ways are all that calls of this kind may go. There are several where routes share calls out, or go by what a URL does not say.
	Ways []Way `json:"ways"`
	// Notes are what is to be known besides.
	Notes []string `json:"notes,omitempty"`
}

// Leaves says whether the calls that are waited for leave by an egress gateway, all of them.
func (o Outcome) Leaves() bool {
	waited := slices.DeleteFunc(slices.Clone(o.Ways), func(way Way) bool { return way.Copy })
	return len(waited) > 0 && !slices.ContainsFunc(waited, func(way Way) bool { return way.Ends != AtGateway })
}

// Of returns what becomes of a call.
func (c *Cluster) Of(call Call) Outcome {
	out := Outcome{Call: call}
	client := c.sidecar(call)
	for _, lead := range client.leads(call) {
		out.Ways = append(out.Ways, client.onward(call, lead)...)
	}
	slices.SortStableFunc(out.Ways, func(a, b Way) int { return cmp.Compare(last(a.Copy), last(b.Copy)) })
	out.Notes = client.notes(call)
	return out
}

func last(is bool) int {
	if is {
		return 1
	}
	return 0
}
