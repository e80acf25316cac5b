package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// feed is one bundle, acme.
type feed struct {
	version string
	problem error
}

func (*feed) Wait(context.Context) {}

func (f *feed) Version(string) string { return f.version }

func (f *feed) Problem(string) error { return f.problem }

// awaiting has the policies of a bundle in force once that is there.
type awaiting struct {
	engine
	feed *feed
}

func (a awaiting) Check(policy *v1alpha1.EgressPolicy) error {
	if a.feed.version == "" && policy.Spec.Bundle() != "" {
		return &v1alpha1.BundleMissing{Bundle: policy.Spec.Bundle()}
	}
	return nil
}

func (a awaiting) Set(policy *v1alpha1.EgressPolicy) error { return a.Check(policy) }

// TestReadySaysHowTheBundleIs: missing, failed with the last good one in force, or as it should be; an Event tells of the first two
// once, and the audit of every version.
func TestReadySaysHowTheBundleIs(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}, Spec: v1alpha1.EgressPolicySpec{Policy: "acme/saas-hosts"}}
	cluster := policiesIn(t, stored)
	of, recorder := &feed{}, events.NewFakeRecorder(10)
	p := &Policies{engine: awaiting{engine{}, of}, client: cluster, live: cluster}
	p.UseBundles(of, recorder)
	p.loaded.Store(true)
	audits := 0
	p.OnChange(func() { audits++ })
	for _, step := range []struct {
		version        string
		problem        error
		reason, says   string
		events, audits int
	}{
		{"", nil, "BundleMissing", "bundle acme has not come yet", 1, 1},
		{"", errors.New("no route"), "BundleMissing", "bundle acme has not come yet: no route", 1, 0},
		{"1", nil, "InForce", "the policy is in force", 0, 1},
		{"1", nil, "InForce", "the policy is in force", 0, 0},
		{"1", errors.New("bad signature"), "BundleFailed", "the last good version of bundle acme stays in force: bad signature", 1, 0},
		{"1", errors.New("bad signature"), "BundleFailed", "bad signature", 0, 0},
		{"2", nil, "InForce", "the policy is in force", 0, 1},
	} {
		of.version, of.problem, audits = step.version, step.problem, 0
		_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
		require.NoError(t, err)
		require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
		ready := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionReady)
		assert.Equal(t, step.reason, ready.Reason)
		assert.Equal(t, step.reason == "InForce", ready.Status == metav1.ConditionTrue)
		assert.Contains(t, ready.Message, step.says)
		assert.Len(t, recorder.Events, step.events, step.says)
		for range step.events {
			assert.Contains(t, <-recorder.Events, step.says)
		}
		assert.Equal(t, step.audits, audits, step.says)
	}
	of.version = ""
	warnings, err := p.Check(t.Context(), stored)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	assert.Contains(t, warnings[0], "until it comes, the version before stays in force")
}

// TestABundleHasItsOwnPoliciesFollow, and no others.
func TestABundleHasItsOwnPoliciesFollow(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for name, policy := range map[string]string{"a": "acme/saas-hosts", "b": "acme/other", "c": "acme2/saas-hosts", "d": "no-wildcards", "e": ""} {
		builder = builder.WithObjects(&v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EgressPolicySpec{Policy: policy}})
	}
	p := &Policies{client: builder.Build()}
	p.BundleChanged("acme")
	queue := queueOf[ctrl.Request](t)
	require.NoError(t, p.followBundles(t.Context(), queue))
	assert.Zero(t, queue.Len(), "before the controller begins nobody is told")
	p.BundleChanged("acme")
	var names []string
	for queue.Len() > 0 {
		request, _ := queue.Get()
		names = append(names, request.Name)
	}
	assert.ElementsMatch(t, []string{"a", "b"}, names)
}
