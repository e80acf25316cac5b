package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/egress-governor/egress-governor/internal/emergency"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

const admitting = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: governor, labels: {app.kubernetes.io/name: egress-governor}}
webhooks: [{name: a, clientConfig: {service: {namespace: platform, name: governor-webhook}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: governor, labels: {app.kubernetes.io/name: egress-governor}}
webhooks: [{name: b}, {name: c}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: governor-entries, labels: {app.kubernetes.io/name: egress-governor}}
spec: {matchConditions: [{name: not-exempt, expression: "true"}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: somebody-elses}
spec: {}
`

var events = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}

// switched runs stop or start in a cluster, and returns what it prints, and says of it.
func switched(t *testing.T, client *fake.FakeDynamicClient, s switching, done string, change func(*unstructured.Unstructured, emergency.Note) bool) (out string, err error) {
	t.Helper()
	cmd, printed := commanded(t)
	cmd.SetOut(printed)
	s.client = client
	err = s.all(cmd, "https://cluster", done, change, "end of %s\n")
	return printed.String(), err
}

func start(object *unstructured.Unstructured, _ emergency.Note) bool { return emergency.Start(object) }

func admittingCluster(t *testing.T) *fake.FakeDynamicClient {
	t.Helper()
	objects, err := manifest.Parse("cluster", []byte(admitting))
	require.NoError(t, err)
	kinds := map[schema.GroupVersionResource]string{events: "EventList"}
	for i, resource := range admission {
		kinds[resource] = emergency.Kinds()[i] + "List"
	}
	out := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	for _, object := range objects {
		require.NoError(t, out.Tracker().Add(object.Unstructured))
	}
	return out
}

// stops counts the webhooks and guards of a cluster that are stopped.
func stops(t *testing.T, client *fake.FakeDynamicClient) (stopped int) {
	t.Helper()
	for _, resource := range admission {
		list, err := client.Resource(resource).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, object := range list.Items {
			n, _ := emergency.State(&object)
			stopped += n
		}
	}
	return stopped
}

// TestStopAndStart: all of ours and nothing of others', told by an Event of the Service, and undone.
func TestStopAndStart(t *testing.T) {
	t.Parallel()
	client := admittingCluster(t)
	dry, err := switched(t, client, switching{dryRun: true}, "Stopped", emergency.Stop)
	require.NoError(t, err)
	assert.Contains(t, dry, "Nothing was written")
	assert.True(t, slices.ContainsFunc(client.Actions(), func(action clienttesting.Action) bool {
		update, is := action.(clienttesting.UpdateActionImpl)
		return is && slices.Equal(update.UpdateOptions.DryRun, []string{metav1.DryRunAll})
	}), "the API server is asked all the same")

	client = admittingCluster(t)
	out, err := switched(t, client, switching{reason: "deployments hang"}, "Stopped", emergency.Stop)
	require.NoError(t, err)
	assert.Contains(t, out, "Stopped: MutatingWebhookConfiguration governor\nStopped: ValidatingWebhookConfiguration governor\nStopped: ValidatingAdmissionPolicy governor-entries\nend of https://cluster\n")
	assert.Equal(t, 4, stops(t, client))
	told, err := client.Resource(events).Namespace("platform").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, told.Items, 1)
	assert.Equal(t, "AdmissionStopped", told.Items[0].Object["reason"])
	assert.Contains(t, told.Items[0].Object["note"], "deployments hang")

	again, err := switched(t, client, switching{}, "Stopped", emergency.Stop)
	require.NoError(t, err)
	assert.NotContains(t, again, "Stopped: ")
	again, err = switched(t, client, switching{reason: "INC-1"}, "Stopped", emergency.Stop)
	require.NoError(t, err)
	assert.Contains(t, again, "Stopped: ValidatingAdmissionPolicy governor-entries")
	guard, err := client.Resource(admission[2]).Get(t.Context(), "governor-entries", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Contains(t, guard.GetAnnotations()[emergency.Annotation], ": deployments hang; INC-1")

	_, err = switched(t, client, switching{}, "Started", start)
	require.NoError(t, err)
	assert.Zero(t, stops(t, client))
}

// TestAStopInPartIsAnError that names what is as it was; the rest is stopped.
func TestAStopInPartIsAnError(t *testing.T) {
	t.Parallel()
	client := admittingCluster(t)
	client.PrependReactor("update", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, "governor", errors.New("no"))
	})
	client.PrependReactor("list", "validatingadmissionpolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "validatingadmissionpolicies"}, "", errors.New("no"))
	})
	out, err := switched(t, client, switching{}, "Stopped", emergency.Stop)
	require.ErrorContains(t, err, "ValidatingWebhookConfiguration governor is as it was")
	require.ErrorContains(t, err, "validatingadmissionpolicies are as they were")
	assert.NotContains(t, out, "end of")
	first, err := client.Resource(admission[0]).Get(t.Context(), "governor", metav1.GetOptions{})
	require.NoError(t, err)
	stopped, _ := emergency.State(first)
	assert.Equal(t, 1, stopped)
}

// TestNothingToStopIsAnError: a cluster that is another than was meant.
func TestNothingToStopIsAnError(t *testing.T) {
	t.Parallel()
	client := admittingCluster(t)
	for i, resource := range admission {
		require.NoError(t, client.Tracker().Delete(resource, "", []string{"governor", "governor", "governor-entries"}[i]))
	}
	_, err := switched(t, client, switching{}, "Stopped", emergency.Stop)
	require.ErrorContains(t, err, "cluster https://cluster has no egress-governor")
}
