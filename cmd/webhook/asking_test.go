package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/egress-governor/egress-governor/internal/config"
)

// answering is an API server that answers as it is told; a namespace of it has labels.
func answering(t *testing.T, labels map[string]any, answer func(object *unstructured.Unstructured) error) (*asking, *bytes.Buffer) {
	t.Helper()
	client := fake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "default", "labels": labels},
	}})
	client.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create := action.(clienttesting.CreateActionImpl)
		assert.Equal(t, []string{"All"}, create.CreateOptions.DryRun, "nothing is stored")
		object := create.GetObject().(*unstructured.Unstructured).DeepCopy()
		return true, object, answer(object)
	})
	of, err := config.Parse([]byte(configuration))
	require.NoError(t, err)
	mesh, err := of.Mesh()
	require.NoError(t, err)
	out := &bytes.Buffer{}
	return &asking{client: client, mesh: mesh, namespace: "default", timeout: 20 * time.Millisecond, pause: time.Millisecond, out: out}, out
}

func seal(object *unstructured.Unstructured) error {
	name, _, _ := unstructured.NestedString(object.Object, "spec", "policy")
	hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	switch {
	case len(hosts) == 1 && hosts[0] == "METADATA.google.internal":
		return errors.New(`admission webhook "mutate.egress-governor.io" denied the request: no`)
	case object.GetKind() == "ServiceEntry":
		return unstructured.SetNestedSlice(object.Object, []any{map[string]any{"address": "istio-egressgateway.istio-system.svc.cluster.local"}}, "spec", "endpoints")
	case name != "allowed-hosts":
		return errors.New(`admission webhook "policy.egress-governor.io" denied the request: there is no policy`)
	}
	return nil
}

// TestTheTestOfARelease passes where everything is judged, and names what is not.
func TestTheTestOfARelease(t *testing.T) {
	t.Parallel()
	a, out := answering(t, nil, seal)
	require.NoError(t, a.run(t.Context()))
	assert.Contains(t, out.String(), "all 4 objects judged")

	a, out = answering(t, map[string]any{"exempt": "true"}, seal)
	require.NoError(t, a.run(t.Context()))
	assert.Contains(t, out.String(), "Namespace default is not governed")
	assert.Contains(t, out.String(), "all 2 objects judged")

	a, _ = answering(t, nil, func(*unstructured.Unstructured) error { return nil })
	err := a.run(t.Context())
	require.ErrorContains(t, err, "it accepts what the webhook must refuse")
	require.ErrorContains(t, err, "it would store an entry that is not sealed")

	a, _ = answering(t, nil, func(*unstructured.Unstructured) error {
		return errors.New(`failed calling webhook "policy.egress-governor.io": connection refused`)
	})
	require.ErrorContains(t, a.run(t.Context()), "webhook-unreachable")

	a, _ = answering(t, nil, func(*unstructured.Unstructured) error { return errors.New("exceeded quota") })
	require.ErrorContains(t, a.run(t.Context()), "exceeded quota", "what tells nothing is no success")
}
