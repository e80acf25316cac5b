package dryrun

import (
	"errors"

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
	return of.Whole(s.options.Release, func(name string) (map[string]string, bool, error) {
		stored := s.cluster.Get(core("ConfigMap", s.options.Release, name))
		if stored == nil {
			return nil, false, nil
		}
		data, _, err := unstructured.NestedStringMap(stored.Object, "data")
		return data, true, err
	})
}

// check says what is wrong with a policy, as the webhook does at apply.
func (s *Session) check(of *v1alpha1.EgressPolicy) (warnings []string, err error) {
	warnings = append(of.Spec.Warnings(), s.engine.Unread(of)...)
	whole, err := s.whole(of)
	var missing *v1alpha1.ParametersMissing
	switch {
	case errors.As(err, &missing):
		warnings, err = append(warnings, missing.Warning()), s.engine.Check(of)
	case err == nil:
		err = of.Sharing(s.options.Release, s.engine.Check(whole))
	}
	var absent *v1alpha1.BundleMissing
	if errors.As(err, &absent) {
		return append(warnings, absent.Warning()), nil
	}
	return warnings, err
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
