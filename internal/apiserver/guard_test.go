package apiserver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
)

// installed is a server with the guards that the chart installs.
func installed(t *testing.T) *apiserver.Server {
	t.Helper()
	configuration, err := config.Installed()
	require.NoError(t, err)
	guards, err := chart.Guards(configuration, "")
	require.NoError(t, err)
	out := apiserver.New()
	for _, guard := range guards {
		require.NoError(t, out.Put(guard))
	}
	return out
}

const (
	injected   = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app, istio-injection: enabled}}"
	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: app}\n" +
		"spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: [{name: app, image: app}]}}}"
)

// TestGuardsAnswerByTheirTexts: who is looked at, and what of it.
func TestGuardsAnswerByTheirTexts(t *testing.T) {
	t.Parallel()
	server := installed(t)
	denied := `deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'egress-governor-host-network' with binding 'egress-governor-host-network' denied request: spec.template.spec.hostNetwork: `
	for name, row := range map[string]struct {
		object, old, namespace string
		user                   string
		groups                 []string
		denied, warned         string
	}{
		"in the network of the node": {object: deployment, namespace: injected, denied: denied},
		"by a name":                  {object: deployment, namespace: injected, user: "jane", denied: denied},
		"a repository of the node's": {object: strings.ReplaceAll(deployment, "hostNetwork: true", "volumes: [{name: a, gitRepo: {repository: 'https://evil.example.net/a'}}]"), namespace: injected,
			denied: strings.ReplaceAll(denied, "spec.template.spec.hostNetwork: ", "spec.template.spec.volumes: the node mounts files")},
		"harmless":                    {object: strings.ReplaceAll(deployment, "hostNetwork: true", "hostNetwork: false"), namespace: injected},
		"not in the mesh":             {object: deployment, namespace: strings.ReplaceAll(injected, ", istio-injection: enabled", "")},
		"exempt by its namespace":     {object: deployment, namespace: strings.ReplaceAll(injected, "istio-injection", "egress-governor.io/exempt-pods: \"true\", istio-injection")},
		"as it was before":            {object: deployment, old: deployment, namespace: injected},
		"the glass is broken":         {object: deployment, namespace: injected, user: "jane", groups: []string{"egress-governor:break-glass"}, warned: "user jane is exempt from the guards"},
		"a namespace out of the mesh": {object: strings.ReplaceAll(injected, "enabled", "disabled"), denied: "metadata.labels[istio-injection]: decides which proxy"},
		"of an administrator":         {object: strings.ReplaceAll(injected, "enabled", "disabled"), user: "admin", groups: []string{"system:masters"}},
		"an entry past the gateway":   {object: entry, namespace: injected, denied: `serviceentries.networking.istio.io "api" is forbidden: ValidatingAdmissionPolicy 'egress-governor-entries'`},
		"in another version":          {object: strings.ReplaceAll(entry, "/v1\n", "/v1beta1\n"), namespace: injected, denied: "ValidatingAdmissionPolicy 'egress-governor-entries'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := apiserver.Request{Object: object(t, row.object), User: row.user, Groups: row.groups}
			if row.old != "" {
				request.Old = object(t, row.old)
			}
			if row.namespace != "" {
				request.Namespace = object(t, row.namespace)
			}
			warnings, err := server.Clone().Guard(t.Context(), request)
			if row.denied == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, row.denied)
			}
			if row.warned == "" {
				assert.Empty(t, warnings)
				return
			}
			assert.Contains(t, strings.Join(warnings, "\n"), row.warned)
		})
	}
}

const asked = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: asked}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [namespaces], operations: [CREATE]}]}
  validations: [{expression: 'authorizer.group("egress-governor.io").resource("namespaces").check("exempt").allowed()', message: "may not"}]
`

const bound = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: asked}\nspec: {policyName: asked, validationActions: [Deny]}"

// TestRightsAreThoseOfEveryCluster: administrators may do everything, and of nobody else is it known.
func TestRightsAreThoseOfEveryCluster(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	require.NoError(t, server.Put(object(t, asked)))
	request := apiserver.Request{Object: object(t, injected), User: "jane"}
	_, err := server.Guard(t.Context(), request)
	require.NoError(t, err, "it is not bound")
	require.NoError(t, server.Put(object(t, bound)))
	_, err = server.Guard(t.Context(), request)
	require.ErrorContains(t, err, `namespaces "app" is forbidden: ValidatingAdmissionPolicy 'asked' with binding 'asked' denied request: may not`)
	request.Groups = []string{"system:masters"}
	_, err = server.Guard(t.Context(), request)
	require.NoError(t, err)
}

// TestAGuardThatDoesNotCompileDenies, as in the API server.
func TestAGuardThatDoesNotCompileDenies(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	require.NoError(t, server.Put(object(t, strings.ReplaceAll(asked, "allowed()", "allowd()"))))
	require.NoError(t, server.Put(object(t, bound)))
	_, err := server.Guard(t.Context(), apiserver.Request{Object: object(t, injected)})
	require.ErrorContains(t, err, "denied request: compilation error")
}
