package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// secure is the gateway by mutual TLS.
func secure() egress.Gateway {
	out := gateway()
	out.Transport, out.ServiceAccount = egress.MutualTLS, "egress"
	return out
}

// proxyPod is a running pod of it.
func proxyPod(name, account, annotation string) *corev1.Pod {
	out := pod(corev1.PodRunning)
	out.Name, out.Spec.ServiceAccountName = name, account
	if annotation != "" {
		out.Annotations = map[string]string{annotationConfig: annotation}
	}
	return out
}

// given reads a manifest of Istio's.
func given(t *testing.T, kind, namespace, name, spec string) client.Object {
	t.Helper()
	group := "networking.istio.io"
	if kind == "PeerAuthentication" {
		group = "security.istio.io"
	}
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/v1", "kind": kind}}
	out.SetNamespace(namespace)
	out.SetName(name)
	var read map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &read))
	out.Object["spec"] = read
	return out
}

func peerAuthn(t *testing.T, namespace, spec string) client.Object {
	return given(t, "PeerAuthentication", namespace, "given", spec)
}

func rootRuleOf(t *testing.T, spec string) client.Object {
	return given(t, "DestinationRule", "istio-system", "given", spec)
}

// sealedHosts is a cluster in which namespace payments has web.example.com with HTTP alone, and api.example.com with TLS too.
func sealedHosts(mesh *egress.Mesh) *egresstest.Cluster {
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	out := &egresstest.Cluster{Mesh: mesh, Known: []*egress.Entry{egresstest.Sealed("web.example.com", http), egresstest.Sealed("api.example.com", http, tls)}}
	for _, entry := range out.Known {
		entry.Transport = egress.MutualTLS
	}
	return out
}

// looking looks at a gateway with what is stored beside its Service; where no pod is, one of the right service account.
func looking(t *testing.T, gw egress.Gateway, stored ...client.Object) *Preflight {
	t.Helper()
	stored = append(stored, service(80, 443))
	hasPod := false
	for _, object := range stored {
		_, is := object.(*corev1.Pod)
		hasPod = hasPod || is
	}
	if !hasPod {
		stored = append(stored, proxyPod("p", "egress", ""))
	}
	mesh := &egress.Mesh{TrustDomain: "cluster.local", ClusterDomain: "cluster.local", Gateways: []egress.Gateway{gw}}
	return &Preflight{
		Mesh: mesh, View: sealedHosts(mesh), Live: clusterOf(t, stored...),
		MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"},
	}
}

// closedMesh is a mesh configuration in which nothing leaves beside the gateways.
func closedMesh(more string) client.Object {
	return meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n" + more)
}

// TestEveryHazardOfMutualTLSIsSeen. What is said of PeerAuthentications and rules is what Istio's generator makes of them:
// test/routing has the same cases.
func TestEveryHazardOfMutualTLSIsSeen(t *testing.T) {
	t.Parallel()
	const disable = "{mtls: {mode: DISABLE}}"
	injected := func(spec string) client.Object {
		return peerAuthn(t, "payments", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, "+spec+"}")
	}
	passed := "defaultConfig: {gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}}"
	for name, tc := range map[string]struct {
		stored []client.Object
		want   []string
	}{
		"nothing wrong":                            {nil, nil},
		"all as by default":                        {[]client.Object{closedMesh("trustDomain: cluster.local\nenableAutoMtls: true")}, nil},
		"another trust domain":                     {[]client.Object{closedMesh("trustDomain: corp.example")}, []string{"trust-domain"}},
		"no automatic mutual TLS":                  {[]client.Object{closedMesh("enableAutoMtls: false")}, []string{"auto-mtls-off"}},
		"entries that are not seen by everybody":   {[]client.Object{closedMesh(`defaultServiceExportTo: ["."]`)}, []string{"default-export"}},
		"rules that are not seen by everybody":     {[]client.Object{closedMesh(`defaultDestinationRuleExportTo: ["."]`)}, []string{"default-rule-export"}},
		"rules that everybody sees":                {[]client.Object{closedMesh(`defaultDestinationRuleExportTo: ["*"]`)}, nil},
		"entries that everybody sees":              {[]client.Object{closedMesh(`defaultServiceExportTo: ["*"]`)}, nil},
		"pods of another account":                  {[]client.Object{proxyPod("a", "egress", ""), proxyPod("b", "default", "")}, []string{"gateway-identity"}},
		"clients' own certificates, by the mesh":   {[]client.Object{closedMesh(passed)}, []string{"forwarded-client-cert"}},
		"what is set by default":                   {[]client.Object{closedMesh("defaultConfig: {gatewayTopology: {forwardClientCertDetails: SANITIZE_SET}}")}, nil},
		"what is undefined":                        {[]client.Object{closedMesh("defaultConfig: {gatewayTopology: {forwardClientCertDetails: UNDEFINED}}")}, nil},
		"clients' own certificates, by annotation": {[]client.Object{proxyPod("a", "egress", "gatewayTopology: {forwardClientCertDetails: FORWARD_ONLY}")}, []string{"forwarded-client-cert"}},
		"an annotation against the mesh":           {[]client.Object{closedMesh(passed), proxyPod("a", "egress", "gatewayTopology: {numTrustedProxies: 1}")}, nil},
		"an annotation of other things":            {[]client.Object{closedMesh(passed), proxyPod("a", "egress", "concurrency: 2")}, []string{"forwarded-client-cert"}},
		"off for the mesh":                         {[]client.Object{peerAuthn(t, "istio-system", disable)}, []string{"mtls-disabled"}},
		"off for a mesh of another root":           {[]client.Object{closedMesh("rootNamespace: root"), peerAuthn(t, "root", disable)}, []string{"mtls-disabled"}},
		"off for the mesh, on for the entry's":     {[]client.Object{peerAuthn(t, "istio-system", disable), peerAuthn(t, "payments", "{mtls: {mode: PERMISSIVE}}")}, nil},
		"off for the mesh, unset for the entry's":  {[]client.Object{peerAuthn(t, "istio-system", disable), peerAuthn(t, "payments", "{mtls: {mode: UNSET}}")}, []string{"mtls-disabled"}},
		"off for the mesh, and a rule beside it":   {[]client.Object{peerAuthn(t, "istio-system", disable), rootRuleOf(t, `{host: web.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`)}, []string{"mtls-disabled"}},
		"off for the entry's namespace":            {[]client.Object{peerAuthn(t, "payments", disable)}, []string{"mtls-disabled"}},
		"off for another namespace":                {[]client.Object{peerAuthn(t, "ways", disable)}, nil},
		"off for some workloads":                   {[]client.Object{peerAuthn(t, "payments", "{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}}")}, nil},
		"off for some workloads of all":            {[]client.Object{peerAuthn(t, "istio-system", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, mtls: {mode: DISABLE}}")}, nil},
		"off for all that is injected":             {[]client.Object{injected("mtls: {mode: DISABLE}")}, []string{"mtls-disabled"}},
		"off for the gateway's port of those":      {[]client.Object{injected("portLevelMtls: {80: {mode: DISABLE}}")}, []string{"mtls-disabled"}},
		"off for another port of those":            {[]client.Object{injected("portLevelMtls: {8080: {mode: DISABLE}}")}, nil},
		"a root rule of every host":                {[]client.Object{rootRuleOf(t, `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`)}, []string{"root-rule"}},
		"a root rule that names no mode":           {[]client.Object{rootRuleOf(t, `{host: "*.example.com", trafficPolicy: {tls: {}}}`)}, []string{"root-rule"}},
		"a root rule past the gateway":             {[]client.Object{rootRuleOf(t, `{host: "*.example.com", trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}`)}, []string{"root-rule-passthrough"}},
		"a root rule past it by one port":          {[]client.Object{rootRuleOf(t, `{host: web.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: PASSTHROUGH}}]}}`)}, []string{"root-rule-passthrough"}},
		"a root rule past it by another":           {[]client.Object{rootRuleOf(t, `{host: web.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: PASSTHROUGH}}]}}`)}, nil},
		"a root rule of one host's port":           {[]client.Object{rootRuleOf(t, `{host: web.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}`)}, []string{"root-rule"}},
		"a root rule that says it elsewhere":       {[]client.Object{rootRuleOf(t, `{host: "*", trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, connectionPool: {}}]}}`)}, []string{"root-rule"}},
		"a root rule of a host with one of ours":   {[]client.Object{rootRuleOf(t, `{host: api.example.com, trafficPolicy: {tls: {mode: DISABLE}}}`)}, nil},
		"a root rule of mutual TLS":                {[]client.Object{rootRuleOf(t, `{host: "*", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`)}, nil},
		"a root rule of other hosts":               {[]client.Object{rootRuleOf(t, `{host: "*.local", trafficPolicy: {tls: {mode: DISABLE}}}`)}, nil},
		"a root rule of its own namespace's":       {[]client.Object{rootRuleOf(t, `{host: "*", exportTo: ["."], trafficPolicy: {tls: {mode: DISABLE}}}`)}, nil},
		"a root rule that keeps to itself unsaid":  {[]client.Object{closedMesh(`defaultDestinationRuleExportTo: ["."]`), rootRuleOf(t, `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`)}, []string{"default-rule-export"}},
		"a root rule of some workloads":            {[]client.Object{rootRuleOf(t, `{host: "*", workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: DISABLE}}}`)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := looking(t, secure(), tc.stored...).Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.want, codes(got))
			for _, problem := range got {
				assert.Equal(t, "default", problem.Gateway)
				assert.NotEmpty(t, problem.Fix)
			}
			plain, err := looking(t, gateway(), tc.stored...).Look(t.Context())
			require.NoError(t, err)
			assert.Empty(t, plain, "a gateway that is called as the app speaks")
		})
	}
}

// TestARuleOfTheEntrysNamespaceStandsBeforeTheRoots, and one that sets tls is not under PeerAuthentications.
func TestARuleOfTheEntrysNamespaceStandsBeforeTheRoots(t *testing.T) {
	t.Parallel()
	root, off := rootRuleOf(t, `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`), peerAuthn(t, "payments", "{mtls: {mode: DISABLE}}")
	for name, tc := range map[string]struct {
		policy map[string]any
		want   []string
	}{
		"of nothing": {nil, []string{"mtls-disabled"}},
		"of tls":     {map[string]any{"tls": map[string]any{"mode": "SIMPLE"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := looking(t, secure(), root, off)
			p.View.(*egresstest.Cluster).Rules = []*egress.Rule{{Namespace: "payments", Host: "*.example.com", Policy: tc.policy}}
			got, err := p.Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.want, codes(got))
		})
	}
}

// TestARootRuleReachesClientsOfOtherNamespaces: those that an entry is exported to.
func TestARootRuleReachesClientsOfOtherNamespaces(t *testing.T) {
	t.Parallel()
	entry := sealedHosts(nil).Known[0]
	rule := rootRule{&egress.Rule{Namespace: "istio-system", Host: "*", Policy: map[string]any{}}, []string{"shop"}}
	assert.NotNil(t, reaching([]rootRule{rule}, "web.example.com", entry), "everybody's")
	entry.ExportTo = []string{"payments", "shop"}
	assert.NotNil(t, reaching([]rootRule{rule}, "web.example.com", entry))
	entry.ExportTo = []string{"."}
	assert.Nil(t, reaching([]rootRule{rule}, "web.example.com", entry))
	narrow := rule
	narrow.Rule = &egress.Rule{Namespace: "istio-system", Host: "web.example.com", Policy: map[string]any{}}
	wide := rootRule{rule.Rule, nil}
	assert.Nil(t, reaching([]rootRule{wide, narrow}, "web.example.com", entry), "Istio takes the most specific one, whoever it is exported to")
}

// TestTheOldestPeerAuthenticationCounts, of several of one scope.
func TestTheOldestPeerAuthenticationCounts(t *testing.T) {
	t.Parallel()
	policy := func(name, mode string, second int) client.Object {
		out := given(t, "PeerAuthentication", "payments", name, "{mtls: {mode: "+mode+"}}")
		out.SetCreationTimestamp(metav1.Unix(int64(second), 0))
		return out
	}
	got, err := looking(t, secure(), policy("a", "DISABLE", 2), policy("b", "STRICT", 1)).Look(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got)
	got, err = looking(t, secure(), policy("a", "STRICT", 2), policy("b", "DISABLE", 1)).Look(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Contains(t, got[0].sentence(), `PeerAuthentication payments/b has mode DISABLE for the namespace`)
	assert.Contains(t, got[0].sentence(), "; set its mode to PERMISSIVE or STRICT")
}

// TestWithoutIstiosConfigMapNothingIsSaidOfIt: the configuration may name a trust domain of its own.
func TestWithoutIstiosConfigMapNothingIsSaidOfIt(t *testing.T) {
	t.Parallel()
	p := looking(t, secure())
	p.Mesh.TrustDomain = "corp.example"
	got, err := p.Look(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestAnUnreadableAnnotationIsAnError(t *testing.T) {
	t.Parallel()
	_, err := looking(t, secure(), proxyPod("a", "egress", "{")).Look(t.Context())
	require.ErrorContains(t, err, "annotation proxy.istio.io/config of pod ways/a")
}

// TestWhatCallsAreUnderDecides: a rule of the root namespace that sets tls stands before PeerAuthentications, and in the
// root namespace itself none with a selector counts.
func TestWhatCallsAreUnderDecides(t *testing.T) {
	t.Parallel()
	p := looking(t, secure(), peerAuthn(t, "istio-system", "{mtls: {mode: DISABLE}}"), rootRuleOf(t, `{host: web.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`))
	view := p.View.(*egresstest.Cluster)
	view.Known = view.Known[:1]
	got, err := p.Look(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got)

	p = looking(t, secure(), peerAuthn(t, "payments", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, mtls: {mode: DISABLE}}"), closedMesh("rootNamespace: payments"))
	got, err = p.Look(t.Context())
	require.NoError(t, err)
	assert.Empty(t, got)
}

// TestAGatewayWithoutPodsHasWhatTheMeshSays of forwarded certificates: its pods will.
func TestAGatewayWithoutPodsHasWhatTheMeshSays(t *testing.T) {
	t.Parallel()
	mesh, err := readMeshSettings("defaultConfig: {gatewayTopology: {forwardClientCertDetails: SANITIZE}}")
	require.NoError(t, err)
	found, err := forwardedCertificate(secure(), mesh, nil)
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Contains(t, found[0].Message, "meshConfig.defaultConfig.gatewayTopology.forwardClientCertDetails is SANITIZE")
}

// TestARootRuleLeadsPastAnyGateway, by whatever transport it is called.
func TestARootRuleLeadsPastAnyGateway(t *testing.T) {
	t.Parallel()
	gw := gateway().By(egress.Plain)
	p := looking(t, gw, closedMesh(""), rootRuleOf(t, `{host: "*.example.com", trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}`))
	for _, entry := range p.View.(*egresstest.Cluster).Known {
		entry.Transport = egress.Plain
	}
	found, err := p.Look(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "root-rule-passthrough", found[0].Code)
	assert.Contains(t, found[0].Message, "such as api.example.com")
}
