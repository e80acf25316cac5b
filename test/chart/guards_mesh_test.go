package chart

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

const (
	service = "apiVersion: v1\nkind: Service\nmetadata: {name: ew, namespace: app, labels: {topology.istio.io/network: out}}\nspec: "
	gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ew, namespace: app, labels: {topology.istio.io/network: out}}\nspec: "
)

// TestNetworksAreThePlatforms: what claims to lead to another network of the mesh is called by every sidecar.
func TestNetworksAreThePlatforms(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(server *apiserver.Server, text, was string) error {
		request := apiserver.Request{Object: parsed(t, text), Namespace: namespace, User: "system:serviceaccount:istio-system:istiod", Groups: []string{"system:serviceaccounts:istio-system"}}
		if was != "" {
			request.Old = parsed(t, was)
		}
		_, err := server.Clone().Guard(t.Context(), request)
		return err
	}
	unlabelled := func(text string) string { return strings.Replace(text, "topology.istio.io/network: out", "app: a", 1) }
	claims := []string{
		service + "{ports: [{port: 15443}], externalIPs: [203.0.113.9]}", service + "{ports: [{port: 15443}], type: LoadBalancer}", service + "{ports: [{port: 15443}], type: NodePort}",
		gateway + "{gatewayClassName: istio-remote, addresses: [{type: IPAddress, value: 203.0.113.9}], listeners: [{name: tls, port: 15443, protocol: TLS}]}",
		gateway + "{gatewayClassName: istio, listeners: [{name: tls, port: 15443, protocol: TLS}]}",
		gateway + "{gatewayClassName: istio-waypoint, addresses: [{value: 203.0.113.9}], listeners: [{name: mesh, port: 15008, protocol: HBONE}]}",
		unlabelled(gateway) + "{gatewayClassName: istio, infrastructure: {labels: {topology.istio.io/network: out}}, listeners: [{name: tls, port: 15443, protocol: TLS}]}",
		strings.Replace(gateway, "/v1\n", "/v1beta1\n", 1) + "{gatewayClassName: istio, listeners: [{name: tls, port: 15443, protocol: TLS}]}",
	}
	for _, text := range claims {
		require.ErrorContains(t, ask(server, text, ""), "denied request: metadata.labels[topology.istio.io/network]: ", text)
		require.NoError(t, ask(server, text, text), "it was there before: %s", text)
		require.NoError(t, ask(server, strings.Replace(text, "labels: {", "labels: {helm.sh/chart: a-2, ", 1), text), "another of its labels is set: %s", text)
		if strings.HasPrefix(text, service) {
			require.ErrorContains(t, ask(server, text, unlabelled(text)), "topology.istio.io/network")
		}
	}
	for _, text := range []string{
		service + "{ports: [{port: 15008}]}", gateway + "{gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}",
		unlabelled(claims[0]), unlabelled(claims[3]), unlabelled(claims[1]),
	} {
		require.NoError(t, ask(server, text, ""), text)
	}
	there := guarding(t, values{"guards": values{"networks": values{"allowedNamespaces": []any{"app"}}}})
	require.NoError(t, ask(there, claims[0], ""))
	_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: parsed(t, strings.Replace(meshed, "istio-injection: enabled", "topology.istio.io/network: out, istio-injection: enabled", 1)), Old: parsed(t, meshed)})
	require.ErrorContains(t, err, "metadata.labels[topology.istio.io/network]")
}

// TestRootCertificatesAreIstiods: by them sidecars know who configures them.
func TestRootCertificatesAreIstiods(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	root := func(name, rest string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: app, labels: {a: b}}\n" + rest
	}
	ask := func(text, was, user string, groups ...string) error {
		request := apiserver.Request{Object: parsed(t, text), Namespace: namespace, User: user, Groups: groups}
		if was != "" {
			request.Old = parsed(t, was)
		}
		_, err := server.Clone().Guard(t.Context(), request)
		return err
	}
	stored, mine := root("istio-ca-root-cert", "data: {root-cert.pem: theirs}"), root("istio-ca-root-cert", "immutable: true\ndata: {root-cert.pem: mine}")
	const denied = "denied request: data: says by which certificate sidecars know istiod"
	require.ErrorContains(t, ask(mine, "", "jane"), denied)
	require.ErrorContains(t, ask(mine, stored, "jane"), denied)
	require.ErrorContains(t, ask(root("istio-ca-root-cert", "immutable: true\ndata: {root-cert.pem: theirs}"), stored, "jane"), denied)
	require.ErrorContains(t, ask(root("istio-ca-root-cert", "data: {root-cert.pem: theirs}\nbinaryData: {a: YQ==}"), stored, "jane"), denied)
	require.ErrorContains(t, ask(root("istio-ca-crl", "data: {ca-crl.pem: mine}"), "", "jane"), denied)
	require.NoError(t, ask(strings.Replace(stored, "a: b", "a: c", 1), stored, "jane"), "a label says nothing")
	require.NoError(t, ask(root("mine", "data: {root-cert.pem: mine}"), "", "jane"))
	require.NoError(t, ask(stored, "", "system:serviceaccount:istio-system:istiod", "system:serviceaccounts:istio-system"))
	require.NoError(t, ask(mine, stored, "system:serviceaccount:cert-manager:cert-manager-istio-csr", "system:serviceaccounts:cert-manager"))
}
