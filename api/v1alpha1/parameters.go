package v1alpha1

import (
	"encoding/json"
	"errors"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// ParametersMissing is the error of shared parameters that are not there.
type ParametersMissing struct{ message string }

// Error implements error.
func (m *ParametersMissing) Error() string { return m.message }

// Whole returns the policy with the parameters that it shares with others, as it is where it shares none. They are in a
// ConfigMap of a namespace, whose data is asked for, false where there is none. The error names the ConfigMap.
func (p *EgressPolicy) Whole(namespace string, data func(configMap string) (map[string]string, bool, error)) (*EgressPolicy, error) {
	source := p.Spec.ParametersFrom
	if source == nil {
		return p, nil
	}
	of, found, err := data(source.ConfigMap)
	if err != nil {
		return nil, p.Sharing(namespace, err)
	}
	if !found {
		return nil, &ParametersMissing{fmt.Sprintf("spec.parametersFrom: there is no ConfigMap %s/%s", namespace, source.ConfigMap)}
	}
	text, found := of[source.Key]
	if !found {
		return nil, &ParametersMissing{fmt.Sprintf("spec.parametersFrom: ConfigMap %s/%s has no key %s", namespace, source.ConfigMap, source.Key)}
	}
	out, err := p.WithParameters(text)
	return out, p.Sharing(namespace, err)
}

// Check holds the policy to a check, with the parameters that it shares now, as Whole reads them. That these or its bundle are missing is
// a warning: one apply may bring all of it, in whatever order.
func (p *EgressPolicy) Check(namespace string, data func(configMap string) (map[string]string, bool, error), check func(*EgressPolicy) error) (warnings []string, err error) {
	whole, err := p.Whole(namespace, data)
	var missing *ParametersMissing
	switch {
	case errors.As(err, &missing):
		warnings, err = append(warnings, missing.Warning()), check(p)
	case err == nil:
		err = p.Sharing(namespace, check(whole))
	}
	var absent *BundleMissing
	if errors.As(err, &absent) {
		return append(warnings, absent.Warning()), nil
	}
	return warnings, err
}

// Sharing says of an error by which shared parameters it came, where the policy shares some.
func (p *EgressPolicy) Sharing(namespace string, err error) error {
	source := p.Spec.ParametersFrom
	if source == nil || err == nil {
		return err
	}
	return fmt.Errorf("with the parameters of ConfigMap %s/%s, key %s: %w", namespace, source.ConfigMap, source.Key, err)
}

// Warning is what the author of a policy reads whose parameters are missing: one apply may bring both, in whatever order.
func (m *ParametersMissing) Warning() string {
	return m.message + "; until it is there, the version before stays in force, and without one the policy fails what it selects"
}

// WithParameters returns the policy as if the parameters of a text, YAML or JSON, were written in it: what it gives itself wins,
// and objects within objects are put together alike. The error is that of a text that is no object.
func (p *EgressPolicy) WithParameters(text string) (*EgressPolicy, error) {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, err
	}
	shared, err := objectOf(raw)
	if err != nil {
		return nil, err
	}
	if given := p.Spec.Parameters; given != nil && len(given.Raw) > 0 {
		own, err := objectOf(given.Raw)
		if err != nil {
			return nil, fmt.Errorf("spec.parameters: %w", err)
		}
		lay(own, shared)
	}
	if raw, err = json.Marshal(shared); err != nil {
		return nil, err
	}
	out := p.DeepCopy()
	out.Spec.ParametersFrom, out.Spec.Parameters = nil, &apiextensionsv1.JSON{Raw: raw}
	return out, nil
}

func objectOf(raw []byte) (out map[string]any, err error) {
	var value any
	if err := utiljson.Unmarshal(raw, &value); err != nil {
		return nil, err
	}
	out, is := value.(map[string]any)
	if !is {
		return nil, errors.New("is not an object of parameters")
	}
	return out, nil
}

// lay puts what is over an object into it.
func lay(over, into map[string]any) {
	for key, value := range over {
		above, is := value.(map[string]any)
		below, was := into[key].(map[string]any)
		if is && was {
			lay(above, below)
			continue
		}
		into[key] = value
	}
}
