// Package versions holds that what a version of egress-governor stored is read by every later one: what its author wrote comes back,
// and applied again it stays. A folder of testdata for each version of the chart has objects as they were written and as they were
// stored, and what was kept beside them; UPDATE=1 go test -run TestTheCurrentVersionIsKept ./versions writes that of the current version.
package versions

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// meshes are those of the cases, by the names of their files.
var meshes = map[string]func() *egress.Mesh{
	"plain": egresstest.Mesh, "mutualtls": egresstest.MutualTLS, "byroutes": egresstest.ByRoutes, "ambient": egresstest.Ambient, "held": egresstest.Mesh,
	"blocked": func() *egress.Mesh {
		out := egresstest.Mesh()
		out.Block = true
		return out
	},
}

type nobody struct{}

func (nobody) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

// cluster is an empty one of a case.
func cluster(t *testing.T, name string) *render.Cluster {
	t.Helper()
	require.Contains(t, meshes, name)
	out, err := render.New(meshes[name](), nobody{}, time.Unix(1700000000, 0))
	require.NoError(t, err)
	mode := "{}"
	if name == "ambient" {
		mode = "{istio.io/dataplane-mode: ambient}"
	}
	for _, text := range []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: payments, labels: " + mode + "}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: istio-egressgateway, namespace: istio-system}\nspec: {ports: [{name: http2, port: 80}, {name: https, port: 443}]}",
	} {
		require.NoError(t, out.Store(decoded(t, text)[0]))
	}
	if name == "held" {
		// It was there before anybody was asked.
		for _, object := range read(t, written(name)) {
			object.SetAnnotations(nil)
			require.NoError(t, out.Store(object))
		}
	}
	return out
}

func decoded(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.Decode(strings.NewReader(text))
	require.NoError(t, err)
	return out
}

func read(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return decoded(t, string(raw))
}

// applied applies objects, which must be allowed, and returns them as they are stored then.
func applied(t *testing.T, to *render.Cluster, objects []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		outcome, err := to.Apply(t.Context(), object.DeepCopy())
		require.NoError(t, err, object.GetName())
		require.Equal(t, review.Allowed, outcome.Verdict, "%s %s: %s", object.GetKind(), object.GetName(), outcome.Message())
	}
	_, err := to.Objects()
	require.NoError(t, err)
	for _, object := range objects {
		out = append(out, plain(to.Get(object)))
	}
	return out
}

// plain is an object without what the API server adds.
func plain(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := object.DeepCopy()
	unstructured.RemoveNestedField(out.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(out.Object, "metadata", "uid")
	out.Object = runtime.DeepCopyJSON(out.Object)
	return out
}

// versionOfTheChart is the current one.
func versionOfTheChart(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../charts/egress-governor/Chart.yaml")
	require.NoError(t, err)
	var chart struct{ Version string }
	require.NoError(t, yaml.Unmarshal(raw, &chart))
	require.NotEmpty(t, chart.Version)
	return chart.Version
}

// TestTheCurrentVersionIsKept: what it stores of what is written is what its folder has. Where that is meant to change, the chart has
// another version, or none was released of this one yet.
func TestTheCurrentVersionIsKept(t *testing.T) {
	t.Parallel()
	folder := filepath.Join("testdata", versionOfTheChart(t))
	for name := range meshes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := cluster(t, name)
			is(t, filepath.Join(folder, name+".yaml"), applied(t, of, read(t, written(name))))
			is(t, filepath.Join(folder, name+keptBeside), kept(t, of))
		})
	}
}

// is holds objects to those of a file; with UPDATE it writes that.
func is(t *testing.T, file string, objects []*unstructured.Unstructured) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, encoded(t, objects), 0o600))
	}
	want := read(t, file)
	require.Len(t, objects, len(want), file)
	for i := range want {
		assert.Equal(t, want[i].Object, decoded(t, string(encoded(t, objects[i:i+1])))[0].Object, file)
	}
}

// those returns the objects that are of the same names as others: what is written grows with the versions.
func those(t *testing.T, of, named []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, like := range named {
		at := slices.IndexFunc(of, func(object *unstructured.Unstructured) bool {
			return object.GroupVersionKind() == like.GroupVersionKind() && object.GetNamespace() == like.GetNamespace() && object.GetName() == like.GetName()
		})
		require.NotEqual(t, -1, at, "%s %s was written", like.GetKind(), like.GetName())
		out = append(out, of[at])
	}
	return out
}

// written is the file of what authors wrote in a case.
func written(name string) string { return filepath.Join("testdata", "written", name+".yaml") }

func encoded(t *testing.T, objects []*unstructured.Unstructured) []byte {
	t.Helper()
	var out bytes.Buffer
	for i, object := range objects {
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(raw)
	}
	return out.Bytes()
}

// TestWhatAVersionStoredIsRead by this one: its author's words come back; put again as it is, or as it was written, it is allowed and
// says the same; and what was stored of the current version stays to the letter.
func TestWhatAVersionStoredIsRead(t *testing.T) {
	t.Parallel()
	current := versionOfTheChart(t)
	folders, err := os.ReadDir("testdata")
	require.NoError(t, err)
	seen := 0
	for _, folder := range folders {
		if folder.Name() == "written" {
			continue
		}
		files, err := filepath.Glob(filepath.Join("testdata", folder.Name(), "*.yaml"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, keptBeside) {
				continue
			}
			seen++
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			t.Run(folder.Name()+"/"+name, func(t *testing.T) {
				t.Parallel()
				stored, of := read(t, file), cluster(t, name)
				written := those(t, read(t, written(name)), stored)
				for _, object := range stored {
					require.NoError(t, of.Store(object.DeepCopy()))
				}
				says := func(what string) {
					t.Helper()
					for _, want := range written {
						intent, err := of.Intent(of.Get(want))
						require.NoError(t, err, what)
						assert.Equal(t, want.Object, plain(intent).Object, "%s: %s %s", what, want.GetKind(), want.GetName())
					}
				}
				says("stored")
				areKept(t, read(t, strings.TrimSuffix(file, ".yaml")+keptBeside), kept(t, of))
				for what, put := range map[string][]*unstructured.Unstructured{"stored, put again": stored, "written, put again": written} {
					again := applied(t, of, put)
					says(what)
					for i := range again {
						if folder.Name() == current {
							assert.Equal(t, stored[i].Object, again[i].Object, what)
						}
					}
				}
			})
		}
	}
	assert.GreaterOrEqual(t, seen, len(meshes))
}
