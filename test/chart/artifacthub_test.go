package chart

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestArtifactHubIsToldWhatTheChartHas: the kinds that it defines, examples that are in force as they stand, and pages that are there.
func TestArtifactHubIsToldWhatTheChartHas(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(chart + "/Chart.yaml")
	require.NoError(t, err)
	var of struct{ Annotations map[string]string }
	require.NoError(t, yaml.Unmarshal(raw, &of))
	told := func(key string, into any) {
		t.Helper()
		require.NoError(t, yaml.UnmarshalStrict([]byte(of.Annotations["artifacthub.io/"+key]), into), key)
	}
	var kinds []struct{ Kind, Version, Name, DisplayName, Description string }
	told("crds", &kinds)
	defined := only[apiextensionsv1.CustomResourceDefinition](t, rendered(t, nil), "CustomResourceDefinition")
	require.Len(t, kinds, 1)
	assert.Equal(t, defined.Name, kinds[0].Name)
	assert.Equal(t, defined.Spec.Names.Kind, kinds[0].Kind)
	assert.Equal(t, defined.Spec.Versions[0].Name, kinds[0].Version)
	assert.NotEmpty(t, kinds[0].Description)

	var examples []v1alpha1.EgressPolicy
	told("crdsExamples", &examples)
	require.NotEmpty(t, examples)
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for i := range examples {
		require.NoError(t, engine.Set(&examples[i]))
	}

	var links []struct{ Name, URL string }
	told("links", &links)
	for _, link := range links {
		page, err := url.Parse(link.URL)
		require.NoError(t, err)
		_, file, is := strings.Cut(page.Path, "/blob/main/")
		require.True(t, is, link.URL)
		assert.FileExists(t, "../../"+file)
	}
	assert.Equal(t, "Apache-2.0", of.Annotations["artifacthub.io/license"])
	assert.Contains(t, []string{"security", "networking"}, of.Annotations["artifacthub.io/category"], "one of Artifact Hub's")
}
