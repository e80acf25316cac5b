package laws

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/test/proof"
)

// each runs a test of every routing case by each of its transports.
func each(t *testing.T, test func(t *testing.T, of *proof.Case, by string)) {
	t.Helper()
	all, err := proof.Load("../routing/cases")
	require.NoError(t, err)
	for _, of := range all {
		for _, by := range of.By() {
			t.Run(of.Family+"/"+of.Name+"/"+by, func(t *testing.T) {
				t.Parallel()
				test(t, of, by)
			})
		}
	}
}

// applied returns the answers to objects, and the objects that are then rendered.
func applied(t *testing.T, to *dryrun.Session, objects []*unstructured.Unstructured) ([]dryrun.Answer, []*unstructured.Unstructured) {
	t.Helper()
	var manifests []manifest.Object
	for _, object := range objects {
		manifests = append(manifests, manifest.Object{Unstructured: object})
	}
	answers, err := to.Apply(t.Context(), manifests, func() {})
	require.NoError(t, err)
	rendered, err := to.Render(answers)
	require.NoError(t, err)
	return answers, rendered
}

func named(t *testing.T, objects []*unstructured.Unstructured) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, object := range objects {
		require.NotContains(t, out, proof.NameOf(object), "it is there once")
		out[proof.NameOf(object)] = object.Object
	}
	return out
}

// TestWhatIsRenderedIsRenderedAsItIs: whoever commits the output of egressctl render, and renders it again, has the same.
func TestWhatIsRenderedIsRenderedAsItIs(t *testing.T) {
	each(t, func(t *testing.T, of *proof.Case, by string) {
		cluster, _, objects, err := of.Session(by)
		require.NoError(t, err)
		_, once := applied(t, cluster, objects)
		again, _, _, err := of.Session(by)
		require.NoError(t, err)
		answers, twice := applied(t, again, once)
		for _, answer := range answers {
			assert.True(t, answer.Allowed(), "%s: %s", proof.NameOf(answer.Unstructured), answer.Message)
		}
		assert.Equal(t, named(t, once), named(t, twice))
	})
}

// TestUnrenderGivesBackWhatWasWritten, and nothing of what egress-governor made of it. Who writes our own records by hand has
// them read as they are.
func TestUnrenderGivesBackWhatWasWritten(t *testing.T) {
	each(t, func(t *testing.T, of *proof.Case, by string) {
		cluster, given, objects, err := of.Session(by)
		require.NoError(t, err)
		answers, rendered := applied(t, cluster, objects)
		var allowed []*unstructured.Unstructured
		for _, answer := range answers {
			if answer.Allowed() {
				allowed = append(allowed, answer.Unstructured)
			}
		}
		rendered = slices.DeleteFunc(rendered, func(object *unstructured.Unstructured) bool {
			same := func(other *unstructured.Unstructured) bool { return proof.NameOf(object) == proof.NameOf(other) }
			return slices.ContainsFunc(given, same) && !slices.ContainsFunc(allowed, same)
		})
		assert.Equal(t, unrendered(t, of, by, allowed), unrendered(t, of, by, rendered))
	})
}

// unrendered returns what the authors of objects say, by name.
func unrendered(t *testing.T, of *proof.Case, by string, objects []*unstructured.Unstructured) map[string]any {
	t.Helper()
	cluster, _, _, err := of.Session(by)
	require.NoError(t, err)
	var manifests []manifest.Object
	for _, object := range objects {
		manifests = append(manifests, manifest.Object{Unstructured: object})
	}
	back, err := cluster.Unrender(manifests)
	require.NoError(t, err)
	out := map[string]any{}
	for _, object := range back {
		if len(object.GetAnnotations()) == 0 {
			object.SetAnnotations(nil)
		}
		out[proof.NameOf(object)] = object.Object
	}
	return out
}

// TestCasesAreAnsweredAsTheySay: what must be refused is, and nothing else; and every field that an answer names has its line.
func TestCasesAreAnsweredAsTheySay(t *testing.T) {
	each(t, func(t *testing.T, of *proof.Case, by string) {
		stored, err := of.Store(t.Context(), by)
		require.NoError(t, err)
		for _, answer := range stored.Answers {
			raw, err := yaml.Marshal(answer.Unstructured.Object)
			require.NoError(t, err)
			read, err := manifest.Parse("case", raw)
			require.NoError(t, err)
			for _, finding := range answer.Findings {
				if finding.Field != "" {
					assert.Greater(t, read[0].At(finding.Field), 1, "%s of %s", finding.Field, proof.NameOf(answer.Unstructured))
				}
			}
		}
	})
}
