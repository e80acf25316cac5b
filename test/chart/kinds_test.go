package chart

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/egress-governor/egress-governor/internal/review"
)

// TestTheChartAsksForEveryGovernedKind, and the EgressPolicy can match each: both follow the table of kinds.
func TestTheChartAsksForEveryGovernedKind(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"config": values{"unregistered": "Block"}})
	var resources, kinds []string
	for _, kind := range review.Kinds() {
		plural := strings.ToLower(kind) + "s"
		if strings.HasSuffix(kind, "Entry") {
			plural = strings.ToLower(strings.TrimSuffix(kind, "y")) + "ies"
		}
		resources = append(resources, plural)
	}
	mutating := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration")
	assert.ElementsMatch(t, resources, mutating.Webhooks[0].Rules[0].Resources)
	assert.Equal(t, []string{review.Group}, mutating.Webhooks[0].Rules[0].APIGroups)

	crd := only[apiextensionsv1.CustomResourceDefinition](t, objects, "CustomResourceDefinition")
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	for _, value := range schema.Properties["spec"].Properties["match"].Properties["kinds"].Items.Schema.Enum {
		kinds = append(kinds, strings.Trim(string(value.Raw), `"`))
	}
	require.NotEmpty(t, kinds)
	assert.ElementsMatch(t, review.Kinds(), kinds)
}
