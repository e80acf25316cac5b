package dryrun

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Parameters that policies share, in ConfigMaps of the release's namespace.

func isConfigMap(object manifest.Object) bool {
	return object.GetKind() == "ConfigMap" && object.GroupVersionKind().Group == ""
}

// whole returns a policy with the parameters that it shares with others.
func (s *Session) whole(of *v1alpha1.EgressPolicy) (*v1alpha1.EgressPolicy, error) {
	return of.Whole(s.options.Release, s.data)
}

// data returns what a ConfigMap of the release has, false where there is none.
func (s *Session) data(configMap string) (map[string]string, bool, error) {
	stored := s.cluster.Get(core("ConfigMap", s.options.Release, configMap))
	if stored == nil {
		return nil, false, nil
	}
	out, _, err := unstructured.NestedStringMap(stored.Object, "data")
	return out, true, err
}

// check says what is wrong with a policy, as the webhook does at apply.
func (s *Session) check(of *v1alpha1.EgressPolicy) (warnings []string, err error) {
	warnings, err = of.Check(s.options.Release, s.data, s.engine.Check)
	return slices.Concat(of.Spec.Warnings(), s.engine.Unread(of), warnings), err
}

// keepCurrent puts the policies that share the parameters of a ConfigMap in force as these are now. What does not fit is not in
// force, as the last good version stays in a cluster.
func (s *Session) keepCurrent(object manifest.Object) {
	if !isConfigMap(object) || object.GetNamespace() != s.options.Release {
		return
	}
	for _, of := range s.sharing {
		if of.Spec.ParametersFrom.ConfigMap == object.GetName() {
			_ = s.set(of)
		}
	}
}
