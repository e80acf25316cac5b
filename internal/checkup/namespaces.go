package checkup

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	// exemptPods is the label of namespaces whose pods no guard looks at, injection that by which Istio's injector is switched.
	exemptPods = "egress-governor.io/exempt-pods"
	injection  = "istio-injection"
)

// labelled is what is said of namespaces for their labels. Guard namespaceLabels holds these from when a namespace is governed on: what was
// set while it was observed stays.
var labelled = []struct {
	code string
	of   func(mesh *egress.Mesh, set labels.Set) bool
	// are is what they are, why what follows from it, fix how to mend it.
	are, why, fix string
}{
	{
		"namespace-label-unread", func(_ *egress.Mesh, set labels.Set) bool { return misspelt(set) },
		"labelled with what nobody reads", "they are governed, observed or exempt as if they had no such label", "egress-governor.io/mode is Enforce or Observe, and egress-governor.io/exempt is true",
	},
	{
		"namespace-observed", (*egress.Mesh).Observes,
		"observed, and nothing is refused or sealed there", "their calls leave directly", "see what governing them would change (kubectl get events -A --field-selector reportingComponent=egress-governor), then label them egress-governor.io/mode=Enforce",
	},
	{
		"namespace-exempt-pods", func(mesh *egress.Mesh, set labels.Set) bool {
			return mesh.Governed.Matches(set) && set[exemptPods] == "true"
		},
		"governed, and nothing keeps the pods behind their sidecars", "no guard looks at these pods, nor does the check sidecars; whoever may update a namespace could set the label while it was observed", "take the label " + exemptPods + " from those that need it no more",
	},
	{
		"namespace-without-injection", func(mesh *egress.Mesh, set labels.Set) bool {
			return mesh.Governed.Matches(set) && set[injection] != "" && set[injection] != "enabled" && !egress.Ambient(set)
		},
		"governed, and labelled to be given no sidecars", "calls of the pods leave directly; whoever may update a namespace could set the label while it was observed", "label those istio-injection=enabled whose pods call something, and restart these",
	},
	{
		"namespace-exempt", func(mesh *egress.Mesh, set labels.Set) bool {
			return set[config.ExemptLabel] == "true" && !mesh.Governed.Matches(set) && !mesh.Observes(set) && mesh.Governed.Matches(without(set, config.ExemptLabel))
		},
		"exempt", "their calls leave as they like", "take the label egress-governor.io/exempt from those that need it no more",
	},
}

func lookAtNamespaces(v *view) {
	for _, each := range labelled {
		var found []string
		for _, namespace := range v.Objects[namespaces] {
			if each.of(v.Mesh, namespace.GetLabels()) {
				found = append(found, namespace.GetName())
			}
		}
		if len(found) > 0 {
			v.find(Finding{
				Code: each.code, Severity: Warning, Object: titleOf("Namespace", "", slices.Min(found)),
				Message: fmt.Sprintf("%s %s: %s", are(len(found), "namespace"), each.are, some(found)), Why: each.why, Fix: each.fix,
			})
		}
	}
}

// misspelt says whether a label of ours has a value that nobody reads.
func misspelt(set labels.Set) bool {
	for label, values := range map[string][]string{config.ModeLabel: {"Enforce", "Observe"}, config.ExemptLabel: {"true", "false"}} {
		if set.Has(label) && !slices.Contains(values, set[label]) {
			return true
		}
	}
	return false
}

func without(set labels.Set, key string) labels.Set {
	out := maps.Clone(set)
	delete(out, key)
	return out
}
