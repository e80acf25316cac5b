package integration

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/test/proof"
)

// TestCasesAreStoredAsTheyAreProven applies the cases of test/routing to a real API server. Where their calls go is proven of
// what internal/render says would be stored: here that is held against what the webhook and the controllers store.
func TestCasesAreStoredAsTheyAreProven(t *testing.T) {
	t.Parallel()
	all, err := proof.Load("../routing/cases")
	require.NoError(t, err)
	plane := &plane{known: map[string]bool{}}
	for _, by := range []string{"Plain", "MutualTLS"} {
		plane.configure(t, by)
		for _, each := range all {
			if each.AsInstalled() && slices.Contains(each.By(), by) {
				t.Run(each.Family+"/"+each.Name+"/"+by, func(t *testing.T) { plane.holds(t, each, by) })
			}
		}
	}
}

// holds requires that the cluster holds after a case what it is proven of, and nothing of it once it is gone.
func (p *plane) holds(t *testing.T, of *proof.Case, by string) {
	want, err := of.Store(t.Context(), by)
	require.NoError(t, err)
	_, applied, err := of.Objects()
	require.NoError(t, err)
	p.surround(t, want.Objects)
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		for _, object := range applied {
			if object.GetKind() != "Namespace" {
				assert.NoError(t, client.IgnoreNotFound(p.Client.Delete(ctx, object.DeepCopy(), client.GracePeriodSeconds(0))))
			}
		}
		require.Eventually(t, func() bool { return len(p.held(t)) == 0 }, within, 100*time.Millisecond, "nothing is left")
	})
	for i, object := range applied {
		if object.GetKind() != "Namespace" {
			p.apply(t, object, want.Answers[i])
		}
	}
	for _, name := range of.Deleted {
		for _, object := range applied {
			if proof.NameOf(object) == name {
				require.NoError(t, client.IgnoreNotFound(p.Client.Delete(ctx, object.DeepCopy())))
			}
		}
	}
	rendered := map[string]any{}
	for _, object := range want.Objects {
		if ofIstio(object) && !ofGateway(object) {
			rendered[proof.NameOf(object)] = essence(object)
		}
	}
	if !assert.Eventually(t, func() bool { return assert.ObjectsAreEqual(rendered, p.held(t)) }, within, 100*time.Millisecond) {
		assert.Equal(t, rendered, p.held(t))
	}
}

// denied is how the API server begins the words of a webhook.
var denied = regexp.MustCompile(`^admission webhook "[a-z.-]+" denied the request: `)

// apply stores an object, or has it refused, in the very words that egressctl review prints. The webhook may hear of what came
// before a moment later.
func (p *plane) apply(t *testing.T, object *unstructured.Unstructured, want dryrun.Answer) {
	t.Helper()
	name := proof.NameOf(object)
	p.older(t, object)
	var said string
	if !assert.Eventually(t, func() bool { said = p.answer(t, object); return said == words(want) }, within, 50*time.Millisecond, name) {
		require.Equal(t, words(want), said, name)
	}
	if !want.Allowed() {
		return
	}
	var err error
	if !assert.Eventually(t, func() bool { err = p.write(t, object); return err == nil }, within, 50*time.Millisecond, name) {
		require.NoError(t, err, name)
	}
	if status := object.Object["status"]; status != nil {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		require.NoError(t, p.Client.Get(t.Context(), client.ObjectKeyFromObject(object), live))
		live.Object["status"] = status
		require.NoError(t, p.Client.Status().Update(t.Context(), live))
	}
	switch object.GetKind() {
	case "EgressPolicy":
		p.inForce(t, object)
	case "ServiceEntry":
		p.seen(t, object)
	}
}

// words are those of an answer.
func words(of dryrun.Answer) string {
	return strings.Join(append([]string{of.Message}, of.Warnings...), "\n")
}

// answer returns what the API server answers to an object, as words.
func (p *plane) answer(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	p.heard.texts = nil
	message := ""
	if err := p.write(t, object, client.DryRunAll); err != nil {
		message = denied.ReplaceAllString(err.Error(), "")
	}
	return strings.Join(append([]string{message}, p.heard.texts...), "\n")
}

// write creates an object, or puts it in the place of the one of its name.
func (p *plane) write(t *testing.T, object *unstructured.Unstructured, options ...client.UpdateOption) error {
	t.Helper()
	live, written := &unstructured.Unstructured{}, object.DeepCopy()
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := p.Client.Get(t.Context(), client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) {
		of := []client.CreateOption{strict}
		if len(options) > 0 {
			of = append(of, client.DryRunAll)
		}
		return p.telling.Create(t.Context(), written, of...)
	}
	require.NoError(t, err)
	written.SetResourceVersion(live.GetResourceVersion())
	return p.telling.Update(t.Context(), written, append(options, strict)...)
}
