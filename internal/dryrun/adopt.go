package dryrun

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// What adoption asks of a session beside answers.

// Mesh returns the mesh as the session has it, with what is rehearsed governed.
func (s *Session) Mesh() *egress.Mesh { return s.mesh }

// Assume takes for granted what a cluster has that holds these objects, and of which nothing was said.
func (s *Session) Assume(objects ...manifest.Object) error { return s.assume(objects...) }

// Keeps says whether an object is one that egress-governor makes and keeps.
func (s *Session) Keeps(object *unstructured.Unstructured) bool { return s.keeps(object) }

// Holds returns an object of this name as the session holds it, nil for none.
func (s *Session) Holds(like *unstructured.Unstructured) *unstructured.Unstructured {
	return s.cluster.Get(like)
}

// Intent returns a stored object as its author wrote it. The error is review.Refusals where that cannot be told.
func (s *Session) Intent(object manifest.Object) (*unstructured.Unstructured, error) {
	return s.cluster.Intent(s.placed(object).Unstructured)
}
