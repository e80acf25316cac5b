// Package hop rewrites objects so that their traffic leaves through an egress gateway, and builds the objects
// that make the gateway's side of the hop. It takes objects and returns objects: no client, no clock.
package hop

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	// IntentAnnotation holds, on a rewritten object, what its author wrote in the fields that were replaced.
	// A tenant can write it, so whatever is read from it is checked like the fields themselves.
	IntentAnnotation = "egress-governor.io/intent"
	// ExitAnnotation with the value ExitHeld has the exit of an entry stand that is not sealed: before it is sealed, or after.
	ExitAnnotation = "egress-governor.io/exit"
	// ExitHeld is the value of ExitAnnotation.
	ExitHeld = "Held"
	// HostAnnotation names, on the objects that we keep for one external host, that host.
	HostAnnotation = "egress-governor.io/host"
	// EntryAnnotation names, on what we keep for one ServiceEntry beside it, that entry.
	EntryAnnotation = "egress-governor.io/service-entry"
	// GatewayLabel names, on the objects that one egress gateway alone uses, that gateway.
	GatewayLabel = "egress-governor.io/gateway"
	// ManagedByLabel with the value Manager marks the objects we keep.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// Manager is the value of ManagedByLabel.
	Manager = "egress-governor"
)

// Object is an object that we keep.
type Object interface {
	metav1.Object
	runtime.Object
}

// Refusals say why an object asks for something that a hop cannot express. As an error it is never empty.
type Refusals []egress.Finding

// Error joins the refusals.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, refusal := range r {
		lines[i] = fmt.Sprintf("%s: %s", refusal.Field, refusal.Message)
	}
	return strings.Join(lines, "; ")
}

// add appends a refusal of a field.
func (r *Refusals) add(code string, path *field.Path, message, fix string) {
	*r = append(*r, egress.Finding{Code: code, Field: path.String(), Message: message, Fix: fix})
}
