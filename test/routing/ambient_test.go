package routing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	meshes "istio.io/istio/pkg/config/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestOptingOutLeadsPastTheWaypoint is why labels of an author's are refused: each of these, on a stored entry, has ztunnel told of
// another waypoint, or of none.
func TestOptingOutLeadsPastTheWaypoint(t *testing.T) {
	other := waypointOf("app-a", "waypoint", "3.0.1.", "Same")
	for name, tc := range map[string]struct {
		metadata string
		code     string
		// past says that some call of the host goes past the waypoint.
		past bool
	}{
		"none":                    {`, labels: {istio.io/use-waypoint: none}`, "other-waypoint metadata.labels[istio.io/use-waypoint]", true},
		"one of its own":          {`, labels: {istio.io/use-waypoint-namespace: app-a}`, "other-waypoint metadata.labels[istio.io/use-waypoint-namespace]", true},
		"another name":            {`, labels: {istio.io/use-waypoint: mine}`, "other-waypoint metadata.labels[istio.io/use-waypoint]", true},
		"a share":                 {`, labels: {istio.io/use-waypoint-canary: waypoint}, annotations: {istio.io/use-waypoint-canary-weight: "100"}`, "other-waypoint metadata.labels[istio.io/use-waypoint-canary]", true},
		"no address":              {`, labels: {networking.istio.io/enable-autoallocate-ip: "false"}`, "no-address spec.hosts[0]", true},
		"a waypoint itself":       {`, labels: {gateway.istio.io/managed: istio.io-mesh-controller}`, "other-waypoint metadata.labels[gateway.istio.io/managed]", true},
		"a gateway of networks":   {`, labels: {gateway.istio.io/managed: istio.io-eastwest-controller}`, "other-waypoint metadata.labels[gateway.istio.io/managed]", true},
		"one of istiod's own":     {`, labels: {internal.istio.io/service-semantics: inferencepool}`, "other-waypoint metadata.labels[internal.istio.io/service-semantics]", false},
		"a tunnel":                {`, labels: {networking.istio.io/tunnel: http}, annotations: {ambient.istio.io/redirection: enabled}`, "", false},
		"what ingress alone does": {`, labels: {istio.io/ingress-use-waypoint: "false"}, annotations: {networking.istio.io/traffic-distribution: PreferClose, istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT}`, "", false},
		"what pods alone may do":  {`, annotations: {ambient.istio.io/dns-capture: "false"}, labels: {ambient.istio.io/dns-capture: "false"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			written := documents(t, apiEntry("app-a", tc.metadata, ""))[0]
			assert.Equal(t, tc.code, refusal(t, egresstest.Ambient(), written))
			var stored []*unstructured.Unstructured
			for _, object := range governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", "")) {
				if object.GetKind() == "ServiceEntry" && object.GetNamespace() == "app-a" {
					for key, value := range written.GetLabels() {
						require.NoError(t, unstructured.SetNestedField(object.Object, value, "metadata", "labels", key))
					}
					annotations := object.GetAnnotations()
					for key, value := range written.GetAnnotations() {
						annotations[key] = value
					}
					object.SetAnnotations(annotations)
				}
				stored = append(stored, object)
			}
			of := newAmbient(t, nil, stored, shared, other).service(t, "app-a", api)
			past := len(of.Addresses) == 0 || len(of.WeightedWaypoints) > 0 || of.GetWaypoint().GetHostname().GetNamespace() != "egress"
			assert.Equal(t, tc.past, past, "%v", of)
		})
	}
}

// TestNamespacesChooseNoWaypointForABoundEntry: an entry's own labels stand before those of its namespace.
func TestNamespacesChooseNoWaypointForABoundEntry(t *testing.T) {
	objects := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	for _, object := range objects {
		if object.GetKind() == "Namespace" && object.GetName() == "app-a" {
			object.SetLabels(map[string]string{"istio.io/use-waypoint": "none", "istio.io/use-waypoint-canary": "waypoint"})
			object.SetAnnotations(map[string]string{"istio.io/use-waypoint-canary-weight": "100"})
		}
	}
	of := newAmbient(t, nil, objects, shared, waypointOf("app-a", "waypoint", "3.0.1.", "Same")).service(t, "app-a", api)
	assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
	assert.Empty(t, of.WeightedWaypoints)
}

// TestLabelsAloneFailOpen is why a bound entry is sealed as well: where the waypoint is not there, or does not take the
// namespace, ztunnel calls whatever the entry's endpoint is.
func TestLabelsAloneFailOpen(t *testing.T) {
	sealed := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	bare := documents(t, ambientNamespaces+apiEntry("app-a", ", labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: egress}", ""))
	for name, waypoint := range map[string]string{"missing": "", "for its own namespace alone": waypointOf("egress", "waypoint", "3.0.0.", "Same")} {
		t.Run(name, func(t *testing.T) {
			for want, objects := range map[string][]*unstructured.Unstructured{toGateway: sealed, api: bare} {
				a := newAmbient(t, nil, objects, waypoint)
				of := a.service(t, "app-a", api)
				assert.Nil(t, of.Waypoint)
				assert.Equal(t, []string{want}, a.endpoints(of))
			}
		})
	}
}

// TestAHiddenEntryIsBoundToNoWaypointOfAnothers, which preflight tells of: to one of its own namespace it is.
func TestAHiddenEntryIsBoundToNoWaypointOfAnothers(t *testing.T) {
	hidden, err := meshes.ApplyMeshConfigDefaults("serviceEntryVisibility: {defaultVisibility: NAMESPACE}")
	require.NoError(t, err)
	of := newAmbient(t, hidden, governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", "")), shared).service(t, "app-a", api)
	assert.Nil(t, of.Waypoint)
	mesh := egresstest.Ambient()
	mesh.Gateways[0].Waypoint.Namespace = ""
	a := newAmbient(t, hidden, governedBy(t, mesh, apiEntry("app-a", "", "")), waypointOf("app-a", "waypoint", "3.0.1.", "Same"))
	assert.Equal(t, "waypoint.app-a.svc.cluster.local", waypointName(a.service(t, "app-a", api)))
	assert.Nil(t, a.called(t, "app-b", api), "others know nothing of it")
}

// TestWildcardsHaveNoAddress is why they are refused where ambient mode would call their hosts straight, and are not beside it.
func TestWildcardsHaveNoAddress(t *testing.T) {
	const spec = "\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: wild, namespace: NAMESPACE}\n" +
		`spec: {hosts: ["*.wiki.test"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, endpoints: [{address: www.wiki.test}]}`
	assert.Equal(t, "no-address spec.hosts[0]", refusal(t, egresstest.Ambient(), documents(t, strings.ReplaceAll(spec, "NAMESPACE", "app-a"))[0]))
	objects := governedBy(t, egresstest.Ambient(), strings.ReplaceAll(spec, "NAMESPACE", "sidecars"))
	assert.Empty(t, newAmbient(t, nil, objects, shared).service(t, "sidecars", "*.wiki.test").Addresses)
}

// TestTheExitItselfMayServeAmbientMode is what preflight tells of: a pod of a namespace without an entry of its own goes by the
// oldest of all, to whomever it is exported, and that may be the exit. Hidden by the mesh configuration, it is not.
func TestTheExitItselfMayServeAmbientMode(t *testing.T) {
	objects := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	for _, object := range objects {
		if object.GetKind() == "ServiceEntry" && object.GetNamespace() == "istio-system" {
			// That of an entry that is gone.
			require.NoError(t, unstructured.SetNestedField(object.Object, "2025-12-31T00:00:00Z", "metadata", "creationTimestamp"))
		}
	}
	a := newAmbient(t, nil, objects, shared)
	exit := a.called(t, "app-b", api)
	assert.Equal(t, "istio-system", exit.Namespace)
	assert.Nil(t, exit.Waypoint)
	assert.Equal(t, []string{api + "."}, a.endpoints(exit), "straight")
	assert.Equal(t, "app-a", a.called(t, "app-a", api).Namespace, "its own stands before it")

	hidden, err := meshes.ApplyMeshConfigDefaults(`serviceEntryVisibility: {policies: [{visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-system}}}]}]}`)
	require.NoError(t, err)
	of := newAmbient(t, hidden, objects, shared).called(t, "app-b", api)
	assert.Equal(t, "app-a", of.Namespace)
	assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
}
