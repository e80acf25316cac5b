package review

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// boundSidecar refuses a Sidecar that is too much work to look at.
func boundSidecar(sidecar *unstructured.Unstructured) hop.Refusals {
	return bound(len(listOf(sidecar, "egress")), 1, "listeners")
}

func sidecarIntent(_ *subject, sidecar *unstructured.Unstructured) (*unstructured.Unstructured, error) {
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
