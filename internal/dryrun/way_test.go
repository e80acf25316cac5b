package dryrun_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// applying is a session to which manifests come in a way.
func applying(t *testing.T, way dryrun.Way, manager string) *dryrun.Session {
	t.Helper()
	guarded, err := server()
	require.NoError(t, err)
	engine, err := standards()
	require.NoError(t, err)
	return session(t, func(o *dryrun.Options) {
		o.Server, o.Standards, o.Way, o.Manager = guarded, engine, way, manager
	})
}

// TestAManifestIsMergedIntoWhatIsStored before anybody is asked, and a manifest of the file stands in the answer.
func TestAManifestIsMergedIntoWhatIsStored(t *testing.T) {
	t.Parallel()
	less := strings.ReplaceAll(entry, `exportTo: ["."], `, "")
	for _, way := range []dryrun.Way{dryrun.Replace, dryrun.ClientSide, dryrun.ServerSide} {
		of := applying(t, way, "kubectl")
		answers, err := of.Apply(t.Context(), objects(t, entry, less), func() {})
		require.NoError(t, err)
		require.True(t, answers[1].Allowed(), answers[1].Message)
		stored, err := of.Stored(objects(t, entry)[0])
		require.NoError(t, err)
		_, is, err := unstructured.NestedSlice(stored.Object, "spec", "exportTo")
		require.NoError(t, err)
		assert.False(t, is, way)
		assert.NotContains(t, answers[1].GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration")
		assert.NotContains(t, stored.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration", "it is kubectl's own")
	}
}

// TestOthersOwnFields by server-side apply; where nothing is known of owners, nobody does, and that is told.
func TestOthersOwnFields(t *testing.T) {
	t.Parallel()
	of := applying(t, dryrun.ServerSide, "argocd")
	_, err := of.Apply(t.Context(), objects(t, entry), func() {})
	require.NoError(t, err)
	other := objects(t, strings.ReplaceAll(entry, "api.example.com", "other.example.com"))[0]
	answer, stored, err := of.Rehearse(t.Context(), dryrun.Sending{Way: dryrun.ServerSide, Manager: "kubectl", Time: time.Now()}, other)
	require.NoError(t, err)
	assert.Nil(t, stored)
	assert.Equal(t, review.Refused, answer.Verdict)
	require.Len(t, answer.Findings, 1)
	finding := answer.Findings[0]
	assert.Equal(t, []string{"conflict", "spec.hosts", `conflict with "argocd"`}, []string{finding.Code, finding.Field, finding.Message})
	assert.Contains(t, finding.Fix, "--force-conflicts")
	assert.Empty(t, of.Unmanaged())

	unknown := applying(t, dryrun.ServerSide, "kubectl")
	require.NoError(t, unknown.Store(objects(t, entry)...))
	answers, err := unknown.Apply(t.Context(), []manifest.Object{other}, func() {})
	require.NoError(t, err)
	assert.True(t, answers[0].Allowed(), answers[0].Message)
	assert.Equal(t, []string{"ServiceEntry app/api"}, unknown.Unmanaged())
}

// TestWhatIsRehearsedIsNotStored, and no policy is in force by it.
func TestWhatIsRehearsedIsNotStored(t *testing.T) {
	t.Parallel()
	of := served(t)
	_, err := of.Apply(t.Context(), objects(t, labelled), func() {})
	require.NoError(t, err)
	for _, object := range objects(t, deny, entry) {
		answer, stored, err := of.Rehearse(t.Context(), dryrun.Sending{}, object)
		require.NoError(t, err)
		assert.True(t, answer.Allowed(), answer.Message)
		require.NotNil(t, stored)
		assert.Nil(t, of.Holds(object.Unstructured))
	}
}

// TestADeletedPolicyIsNotInForce any more.
func TestADeletedPolicyIsNotInForce(t *testing.T) {
	t.Parallel()
	of := served(t)
	assert.Equal(t, review.Denied, verdicts(t, of, labelled, deny, entry)["ServiceEntry app/api"])
	of.Delete(objects(t, deny)[0].Unstructured)
	assert.Equal(t, review.Allowed, verdicts(t, of, entry)["ServiceEntry app/api"])
}

// TestAPolicyHasTheNameThatIsMadeForIt: kubectl create takes generateName.
func TestAPolicyHasTheNameThatIsMadeForIt(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]review.Verdict{"EgressPolicy hosts-": review.Allowed}, verdicts(t, served(t), strings.ReplaceAll(deny, "name: hosts}", "generateName: hosts-}")))
}

// TestWhatIsOnItsWayOutMayLoseItsFinalizers, whatever policies say by then, and nothing else.
func TestWhatIsOnItsWayOutMayLoseItsFinalizers(t *testing.T) {
	t.Parallel()
	leaving := strings.ReplaceAll(entry, "namespace: app}", `namespace: app, uid: a, creationTimestamp: "2025-01-01T00:00:00Z", deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0, finalizers: [example.com/hold]}`)
	gone := strings.ReplaceAll(leaving, ", finalizers: [example.com/hold]", "")
	of := served(t)
	_, err := of.Apply(t.Context(), objects(t, labelled, deny), func() {})
	require.NoError(t, err)
	require.NoError(t, of.Store(objects(t, leaving)...))
	other := verdicts(t, of, strings.ReplaceAll(gone, "api.example.com", "evil.example.com"))
	assert.Equal(t, review.Denied, other["ServiceEntry app/api"])
	assert.Equal(t, review.Allowed, verdicts(t, of, gone)["ServiceEntry app/api"])
}

// TestWhatWasCopiedFromAClusterIsOfThatCluster: what it says of its version and of itself holds nowhere else.
func TestWhatWasCopiedFromAClusterIsOfThatCluster(t *testing.T) {
	t.Parallel()
	of := served(t)
	copied := strings.ReplaceAll(entry, "namespace: app}", `namespace: app, resourceVersion: "7", uid: a}`)
	answers, err := of.Apply(t.Context(), objects(t, labelled, copied), func() {})
	require.NoError(t, err)
	assert.Equal(t, "resourceVersion should not be set on objects to be created", answers[1].Message)
	assert.Nil(t, of.Holds(objects(t, copied)[0].Unstructured))

	require.NoError(t, of.Store(objects(t, copied)...))
	for text, said := range map[string][]string{
		strings.ReplaceAll(copied, `"7"`, `"6"`):       {"conflict", "metadata.resourceVersion", `Operation cannot be fulfilled on serviceentries.networking.istio.io "api": the object has been modified`},
		strings.ReplaceAll(copied, "uid: a", "uid: b"): {"invalid", "metadata.uid", `metadata.uid: Invalid value: "b": field is immutable`},
	} {
		answers, err := of.Apply(t.Context(), objects(t, text), func() {})
		require.NoError(t, err)
		require.NotEmpty(t, answers[0].Findings)
		finding := answers[0].Findings[0]
		assert.Equal(t, []string{finding.Code, finding.Field}, said[:2])
		assert.Contains(t, answers[0].Message, said[2])
	}
	assert.Equal(t, review.Allowed, verdicts(t, of, copied)["ServiceEntry app/api"])
}
