// Package hop rewrites objects so that their traffic leaves through an egress gateway, and builds the objects
// that make the gateway's side of the hop. It takes objects and returns objects: no client, no clock.
package hop

import (
	"fmt"
	"strings"
)

const (
	// IntentAnnotation holds, on a rewritten object, what its author wrote in the fields that were replaced.
	// A tenant can write it, so whatever is read from it is judged like the fields themselves.
	IntentAnnotation = "egress-governor.io/intent"
	// HostAnnotation names, on the objects of an exit set, the external host they serve.
	HostAnnotation = "egress-governor.io/host"
	// GatewayLabel names, on the objects we keep, the egress gateway they belong to.
	GatewayLabel = "egress-governor.io/gateway"
	// ManagedByLabel with the value Manager marks the objects we keep.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// Manager is the value of ManagedByLabel.
	Manager = "egress-governor"
)

// Refusal says that an object asks for something that a hop cannot express.
type Refusal struct {
	// Code identifies the kind of refusal: stable, lower case with hyphens.
	Code string
	// Field is the path of the offending field.
	Field string
	// Message says what is wrong, Fix how to mend it.
	Message, Fix string
}

// Refusals is the error of an object that cannot be expressed; it is never empty when returned.
type Refusals []Refusal

// Error joins the refusals.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, refusal := range r {
		lines[i] = fmt.Sprintf("%s: %s", refusal.Field, refusal.Message)
	}
	return strings.Join(lines, "; ")
}
