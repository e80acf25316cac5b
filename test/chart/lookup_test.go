package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestAClusterChangesNothingButTheRefusal of a second release: what helm installs is what helm template prints.
func TestAClusterChangesNothingButTheRefusal(t *testing.T) {
	t.Parallel()
	of := func(name, namespace string) map[string]string {
		return map[string]string{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
	}
	for name, row := range map[string]struct {
		labels, annotations map[string]string
		says                string
	}{
		"this release":               {nil, of(controlplane.Release, controlplane.Namespace), ""},
		"it, by others than helm":    {nil, nil, ""},
		"another chart":              {map[string]string{"app.kubernetes.io/name": "other"}, of("other", "other"), ""},
		"what has no labels":         {map[string]string{}, nil, ""},
		"another release":            {nil, of("second", controlplane.Namespace), `already installed in this cluster, as release "second" in namespace "` + controlplane.Namespace + `"`},
		"one of its name, elsewhere": {nil, of(controlplane.Release, "elsewhere"), `as release "` + controlplane.Release + `" in namespace "elsewhere"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var held []*unstructured.Unstructured
			for _, object := range rendered(t, nil) {
				if row.labels != nil {
					object.SetLabels(row.labels)
				}
				object.SetAnnotations(row.annotations)
				held = append(held, object)
			}
			got, err := controlplane.RenderOver(chart, nil, held)
			if row.says != "" {
				require.ErrorContains(t, err, row.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, rendered(t, nil), got)
		})
	}
}

// TestOneTemplateAloneLooksIntoTheCluster.
func TestOneTemplateAloneLooksIntoTheCluster(t *testing.T) {
	t.Parallel()
	looks := map[string]int{}
	require.NoError(t, filepath.WalkDir(filepath.Join(chart, "templates"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if count := strings.Count(string(raw), "lookup "); count > 0 {
			looks[entry.Name()] = count
		}
		return err
	}))
	assert.Equal(t, map[string]int{"_helpers.tpl": 1}, looks)
}
