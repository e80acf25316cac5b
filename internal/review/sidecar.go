package review

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// sidecarIntent reads the annotation where it tells of what is or will be completed. Anywhere else it is a tenant's word without
// effect, and the spec itself is what counts.
func sidecarIntent(s *subject, sidecar *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if !s.closes() {
		return sidecar.DeepCopy(), nil
	}
	return hop.SidecarIntent(sidecar)
}

// closes says whether the subject's namespace is closed to hosts that no entry names. A Sidecar of Istio's own namespace is
// that of namespaces which are not governed, too.
func (s *subject) closes() bool { return s.Mesh.Block && s.Namespace.Name != s.Mesh.IstioNamespace }

func closeSidecar(s *subject) (*unstructured.Unstructured, error) {
	out := s.intent.DeepCopy()
	if !s.closes() {
		return out, nil
	}
	return out, hop.CloseSidecar(out)
}

func examineSidecar(s *subject) (egress.Facts, hop.Refusals) {
	facts := egress.Facts{Gateway: s.gateway.Name}
	if !s.closes() {
		return facts, nil
	}
	return facts, hop.CheckSidecar(s.Object)
}

// keptSidecar says whether the subject is the Sidecar that the controller keeps.
func keptSidecar(s *subject) bool {
	return s.closes() && hop.IsClosing(s.Object) && equality.Semantic.DeepEqual(s.Object.Object["spec"], hop.Sidecar(s.Namespace.Name, nil).Object["spec"])
}

func sidecarChanges(s *subject) []string {
	if !s.closes() || hop.SidecarMode(s.intent) != "" {
		return nil
	}
	return []string{"spec.outboundTrafficPolicy: stored as REGISTRY_ONLY, so that calls to hosts that no ServiceEntry names are dropped"}
}
