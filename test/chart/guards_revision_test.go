package chart

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

// TestNamesOfARevisionAreKubernetesOwn: what makes pods of a revision reads names in any case, and guards in theirs alone.
func TestNamesOfARevisionAreKubernetesOwn(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(data string) error {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: parsed(t, "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: web-1, namespace: app}\nrevision: 1\ndata: "+data), Namespace: namespace})
		return err
	}
	const honest = `{spec: {template: {$patch: replace, metadata: {labels: {App: web, Name: web}}, spec: {nodeSelector: {Host: a}, containers: [{name: app, image: app, env: [{name: A, value: b}], ports: [{containerPort: 80}], resources: {limits: {Add: "1"}}}], volumes: [{name: a, csi: {driver: a, volumeAttributes: {Server: a}}}]}}}}`
	require.NoError(t, ask(honest))
	require.NoError(t, ask(`{spec: {image: app}}`), "somebody's own revision of something else")
	require.NoError(t, ask(`{spec: [a]}`))
	for _, data := range []string{
		`{spec: {Template: {spec: {hostNetwork: true}}}}`, `{Spec: {template: {spec: {hostNetwork: true}}}}`, `{"\u017fpec": {template: {spec: {hostNetwork: true}}}}`,
		strings.Replace(honest, "containers: [{", `hostnetwork: true, containers: [{`, 1), strings.Replace(honest, "spec: {nodeSelector", "Metadata: {}, spec: {nodeSelector", 1),
		strings.Replace(honest, "metadata: {labels", `metadata: {Labels: {sidecar.istio.io/inject: "false"}, labels`, 1), strings.Replace(honest, "image: app,", "image: app, SecurityContext: {privileged: true},", 1),
		strings.Replace(honest, "image: app,", "image: app, securityContext: {capabilities: {Add: [NET_ADMIN]}},", 1),
		strings.Replace(honest, "image: app,", "image: app, lifecycle: {postStart: {httpGet: {port: 80, HOST: evil.example.net}}},", 1),
		strings.Replace(honest, "name: A, value", "name: A, NAME: LD_PRELOAD, value", 1),
		strings.Replace(honest, "{name: a, csi", `{name: b, "nf\u017f": {server: evil.example.net}}, {name: a, csi`, 1),
	} {
		assert.ErrorContains(t, ask(data), "denied request: data: a name in the revision's template", data)
	}
}

// TestARevisionOfSomethingElseIsNoPods: operators store their own, whose template has no containers, or no spec of a pod at all.
func TestARevisionOfSomethingElseIsNoPods(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(data string) error {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: parsed(t, "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: web-1, namespace: app}\nrevision: 1\ndata: "+data), Namespace: namespace})
		return err
	}
	for name, data := range map[string]string{
		"a virtual machine of KubeVirt": `{spec: {runStrategy: Always, template: {metadata: {creationTimestamp: null, labels: {vm: a}}, spec: {domain: {devices: {disks: [{disk: {bus: virtio}, name: root}]}}, networks: [{name: default, pod: {}}], readinessProbe: {httpGet: {port: 80}}, volumes: [{containerDisk: {image: disk}, name: root}, {cloudInitNoCloud: {userData: a}, name: init}]}}}}`,
		"a UnitedDeployment":            `{spec: {template: {$patch: replace, statefulSetTemplate: {metadata: {}, spec: {template: {spec: {containers: [{name: app, image: app}]}}}}}}}`,
		"a name of a template":          `{spec: {template: small}}`,
		"no spec":                       `{spec: {template: {spec: null}}}`,
		"another spec":                  `{spec: {template: {spec: [a]}}}`,
		"other containers":              `{spec: {template: {spec: {containers: {app: {}}}}}}`,
		"a list":                        `[a]`,
	} {
		require.NoError(t, ask(data), name)
	}
	for data, says := range map[string]string{
		`{spec: {template: {spec: {domain: {}, hostNetwork: true}}}}`:                                                                                         "data.spec.template.spec.hostNetwork: ",
		`{spec: {template: {metadata: {annotations: {inject.istio.io/templates: gateway}, labels: {sidecar.istio.io/inject: "false"}}, spec: {domain: {}}}}}`: "data.spec.template.metadata.labels[sidecar.istio.io/inject]: ",
		`{spec: {template: {metadata: {annotations: {inject.istio.io/templates: gateway}}, spec: {domain: {}}}}}`:                                             "data.spec.template.metadata.annotations[inject.istio.io/templates]: ",
	} {
		assert.ErrorContains(t, ask(data), says, "what makes pods of it copies these")
	}
}
