package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clienttesting "k8s.io/client-go/testing"
)

// TestRightsAreAskedOfTheCluster, and where it does not let itself be asked, administrators alone have some.
func TestRightsAreAskedOfTheCluster(t *testing.T) {
	t.Parallel()
	of := func(name string, groups ...string) authorizer.Attributes {
		return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name, Groups: groups}, Verb: "exempt", Resource: "namespaces", ResourceRequest: true}
	}
	client := cluster(t, "")
	client.PrependReactor("create", accessReviews.Resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
		asked := action.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured).DeepCopy()
		name, _, _ := unstructured.NestedString(asked.Object, "spec", "user")
		verb, _, _ := unstructured.NestedString(asked.Object, "spec", "resourceAttributes", "verb")
		return true, asked, unstructured.SetNestedField(asked.Object, name == "jane" && verb == "exempt", "status", "allowed")
	})
	for name, want := range map[string]authorizer.Decision{"jane": authorizer.DecisionAllow, "joe": authorizer.DecisionNoOpinion} {
		got, _, err := rights{client}.Authorize(t.Context(), of(name))
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}
	client.PrependReactor("create", accessReviews.Resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: accessReviews.Resource}, "", nil)
	})
	for group, want := range map[string]authorizer.Decision{"system:masters": authorizer.DecisionAllow, "others": authorizer.DecisionNoOpinion} {
		got, _, err := rights{client}.Authorize(t.Context(), of("jane", group))
		require.NoError(t, err)
		assert.Equal(t, want, got, group)
	}
}
