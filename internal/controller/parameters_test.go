package controller

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// whole has the parameters of policies that are given whole, and takes those with a key "hosts" alone.
type whole map[string]string

func (w whole) Check(policy *v1alpha1.EgressPolicy) error {
	if policy.Spec.ParametersFrom != nil {
		return nil
	}
	if raw := string(policy.Spec.Parameters.Raw); raw == `{"host":"a"}` {
		return errors.New("spec.parameters: hosts is missing")
	}
	return nil
}

func (whole) Unread(*v1alpha1.EgressPolicy) []string { return nil }

func (w whole) Set(policy *v1alpha1.EgressPolicy) error {
	if policy.Spec.ParametersFrom != nil {
		return errors.New("not whole")
	}
	if err := w.Check(policy); err != nil {
		return err
	}
	w[policy.Name] = string(policy.Spec.Parameters.Raw)
	return nil
}

func (w whole) Remove(name string) { delete(w, name) }

// TestSharedParametersAreKeptCurrent: what is missing or does not fit leaves the last good version in force, and is said; the
// audit is told of every version and of none twice.
func TestSharedParametersAreKeptCurrent(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	require.NoError(t, errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)))
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}, Spec: v1alpha1.EgressPolicySpec{
		ParametersFrom: &v1alpha1.ParametersSource{ConfigMap: "hosts", Key: "k"}, Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"own":1}`)},
	}}
	other := stored.DeepCopy()
	other.Name, other.Spec.ParametersFrom = "other", nil
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stored, other).WithStatusSubresource(stored).Build()
	inForce := whole{}
	p := &Policies{engine: inForce, client: cluster, live: cluster, namespace: "release"}
	p.loaded.Store(true)
	told := 0
	p.OnChange(func() { told++ })
	of := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "release", Name: "hosts"}}
	for _, step := range []struct {
		data            map[string]string
		reason, message string
		force           string
		told            int
	}{
		{nil, "ParametersMissing", "there is no ConfigMap release/hosts", "", 1},
		{map[string]string{"other": "hosts: [a]"}, "ParametersMissing", "ConfigMap release/hosts has no key k", "", 0},
		{map[string]string{"k": "hosts: [a]"}, "InForce", "", `{"hosts":["a"],"own":1}`, 1},
		{map[string]string{"k": "own: 2\nhosts: [b]"}, "InForce", "", `{"hosts":["b"],"own":1}`, 1},
		{map[string]string{"k": "own: 2\nhosts: [b]", "another": "x"}, "InForce", "", `{"hosts":["b"],"own":1}`, 0},
		{map[string]string{"k": "[a]"}, "Invalid", "ConfigMap release/hosts, key k: is not an object", `{"hosts":["b"],"own":1}`, 1},
		{map[string]string{"k": "a: ["}, "Invalid", "ConfigMap release/hosts, key k: ", `{"hosts":["b"],"own":1}`, 0},
		{map[string]string{}, "ParametersMissing", "has no key k", `{"hosts":["b"],"own":1}`, 0},
		{map[string]string{"k": "hosts: [c]"}, "InForce", "", `{"hosts":["c"],"own":1}`, 1},
	} {
		if step.data != nil {
			of.Data, of.ResourceVersion = step.data, ""
			if err := cluster.Create(t.Context(), of.DeepCopy()); err != nil {
				require.NoError(t, cluster.Update(t.Context(), of))
			}
		}
		told = 0
		asked := p.sharing(t.Context(), of)
		require.Equal(t, []ctrl.Request{{NamespacedName: types.NamespacedName{Name: "p"}}}, asked)
		_, err := p.Reconcile(t.Context(), asked[0])
		require.NoError(t, err)
		require.NoError(t, cluster.Get(t.Context(), asked[0].NamespacedName, stored))
		ready := stored.Status.Conditions[0]
		assert.Equal(t, step.reason, ready.Reason, "%v", step.data)
		assert.Equal(t, step.reason == "InForce", ready.Status == metav1.ConditionTrue)
		assert.Contains(t, ready.Message, step.message)
		assert.Equal(t, step.force, inForce["p"])
		assert.Equal(t, step.told, told, "%v", step.data)
	}
	elsewhere := of.DeepCopy()
	elsewhere.Namespace = "tenant"
	assert.Empty(t, p.sharing(t.Context(), elsewhere), "a tenant's of the same name")
}

// TestAPolicyIsCheckedByWhatItSharesNow, and let in with a warning before that is there.
func TestAPolicyIsCheckedByWhatItSharesNow(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	require.NoError(t, errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)))
	policy := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.EgressPolicySpec{ParametersFrom: &v1alpha1.ParametersSource{ConfigMap: "hosts", Key: "k"}}}
	for text, says := range map[string]string{"hosts: [a]": "", "host: a": "ConfigMap release/hosts, key k: spec.parameters: hosts is missing", "": "is not an object", "{": "ConfigMap release/hosts, key k"} {
		cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "release", Name: "hosts"}, Data: map[string]string{"k": text}}).Build()
		p := &Policies{engine: whole{}, live: cluster, namespace: "release"}
		warnings, err := p.Check(t.Context(), policy)
		assert.Empty(t, warnings)
		if says == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, says, text)
		}
		p.namespace = "elsewhere"
		warnings, err = p.Check(t.Context(), policy)
		require.NoError(t, err)
		assert.Equal(t, []string{"spec.parametersFrom: there is no ConfigMap elsewhere/hosts; until it is there, the version before stays in force, and without one the policy fails what it selects"}, warnings)
	}
}
