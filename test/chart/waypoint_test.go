package chart

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// withWaypoint are values with a gateway that has a waypoint.
func withWaypoint(waypoint values) values {
	return values{"config": values{"gateways": []any{values{
		"name": "a", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 80}, "waypoint": waypoint,
	}}}}
}

// TestRightsForWaypoints: AuthorizationPolicies are nobody's business of ours without one.
func TestRightsForWaypoints(t *testing.T) {
	t.Parallel()
	verbs := func(objects []*unstructured.Unstructured) map[string][]string {
		out := map[string][]string{}
		for _, rule := range only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules {
			for _, resource := range rule.Resources {
				if resource == "authorizationpolicies" || resource == "gateways" && slices.Contains(rule.APIGroups, "gateway.networking.k8s.io") {
					out[resource] = rule.Verbs
				}
			}
		}
		return out
	}
	assert.Empty(t, verbs(rendered(t, nil)))
	assert.Equal(t, map[string][]string{"authorizationpolicies": {"get", "list", "watch", "create", "update", "delete"}, "gateways": {"get"}},
		verbs(rendered(t, withWaypoint(values{"name": "waypoint"}))))
}

// TestAWaypointIsConfigured as the values have it, and no name that stands for none.
func TestAWaypointIsConfigured(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]any{"name": "waypoint", "namespace": "egress"}, configured(t, rendered(t, withWaypoint(values{"name": "waypoint", "namespace": "egress"})))[0]["waypoint"])
	for _, bad := range []values{{"name": "none"}, {"namespace": "egress"}, {"name": "waypoint", "for": "all"}} {
		_, err := controlplane.Render(chart, withWaypoint(bad))
		require.ErrorContains(t, err, "waypoint", bad)
	}
	policies, _ := guards(t, rendered(t, withWaypoint(values{"name": "waypoint"})))
	validations := policies["entries"].Spec.Validations
	assert.Contains(t, validations[len(validations)-1].Expression, `== ["waypoint", request.namespace]`, "that of each namespace's own")
}

// TestTheGuardHasTheLabelsThatAreRefused: with the webhook gone, whatever the review refuses of what istiod reads otherwise is refused by
// the guard, also where it comes to an entry that is stored, and what the author's own tools write is not.
func TestTheGuardHasTheLabelsThatAreRefused(t *testing.T) {
	t.Parallel()
	server := guarding(t, withWaypoint(values{"name": "waypoint", "namespace": "ways"}))
	stored := func(labels, annotations string) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: app, labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: ways" + labels + "}, annotations: {a: b" + annotations + "}}\n" +
			"spec: {hosts: [a.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: out.ways.svc.cluster.local, ports: {http: 80}}]}"
	}
	ask := func(mode, text, was string) error {
		request := apiserver.Request{Object: parsed(t, text), Namespace: parsed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app, istio.io/dataplane-mode: "+mode+"}}")}
		if was != "" {
			request.Old = parsed(t, was)
		}
		_, err := server.Clone().Guard(t.Context(), request)
		return err
	}
	plain := stored("", "")
	require.NoError(t, ask("ambient", plain, ""))
	require.NoError(t, ask("ambient", stored(", team: a, istio.io/ingress-use-waypoint: \"true\"", ", b: c"), plain))
	labels, annotations, own := egress.Bending()
	bent := map[string]string{}
	for _, key := range append(labels, own+"anything") {
		bent["metadata.labels["+key+"]"] = stored(", "+key+": a", "")
	}
	for _, key := range append(annotations, own+"anything") {
		bent["metadata.annotations["+key+"]"] = stored("", ", "+key+": a")
	}
	for field, text := range bent {
		require.ErrorContains(t, ask("ambient", text, ""), "denied request: "+field+": ", field)
		require.ErrorContains(t, ask("ambient", text, plain), "denied request: "+field+": ", field)
		require.NoError(t, ask("ambient", strings.Replace(text, "a: b", "a: c", 1), text), "%s was there before", field)
		require.NoError(t, ask("none", text, ""), "%s without a waypoint", field)
	}
	policies, _ := guards(t, rendered(t, withWaypoint(values{"name": "waypoint"})))
	written, _ := json.Marshal(labels)
	assert.Contains(t, policies["entries"].Spec.Variables[0].Expression, strings.ReplaceAll(string(written), ",", ", "), "no more than these, either")
}

// TestAWaypointIsNotTakenAway: where it is for others than Services, or does not take the namespace, calls go past it. Who may label
// namespaces may, and beside ambient mode a Gateway of its name is anybody's.
func TestAWaypointIsNotTakenAway(t *testing.T) {
	t.Parallel()
	const (
		class = "gatewayClassName: istio-waypoint"
		hbone = "{name: mesh, port: 15008, protocol: HBONE}"
	)
	gateway := func(labels, spec string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: app, labels: {a: b" + labels + "}}\nspec: {" + spec + "}"
	}
	from := func(rest string) string {
		return strings.Replace(hbone, "}", ", allowedRoutes: {namespaces: {from: "+rest+"}}}", 1)
	}
	whole := gateway("", class+", listeners: ["+hbone+"]")
	ask := func(server *apiserver.Server, mode, text, was, user string) error {
		request := apiserver.Request{Object: parsed(t, text), User: user, Namespace: parsed(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {kubernetes.io/metadata.name: app, istio.io/dataplane-mode: "+mode+"}}")}
		if was != "" {
			request.Old = parsed(t, was)
		}
		_, err := server.Clone().Guard(t.Context(), request)
		return err
	}
	own := guarding(t, values{"config": withWaypoint(values{"name": "waypoint"})["config"], "guards": values{"namespaceLabels": values{"allowedUsers": []any{"platform"}}}})
	shared := guarding(t, withWaypoint(values{"name": "waypoint", "namespace": "app"}))
	for text, field := range map[string]string{
		gateway(", istio.io/waypoint-for: workload", class+", listeners: ["+hbone+"]"):                           "metadata.labels[istio.io/waypoint-for]",
		gateway(", istio.io/waypoint-for: \"\"", class+", listeners: ["+hbone+"]"):                               "metadata.labels[istio.io/waypoint-for]",
		gateway("", "gatewayClassName: istio, listeners: ["+hbone+"]"):                                           "spec.gatewayClassName",
		gateway("", class+", listeners: ["+from("Selector, selector: {matchLabels: {no: body}}")+"]"):            "spec.listeners",
		strings.Replace(gateway("", "gatewayClassName: mine, listeners: ["+hbone+"]"), "/v1\n", "/v1beta1\n", 1): "spec.gatewayClassName",
	} {
		for _, was := range []string{"", whole} {
			require.ErrorContains(t, ask(own, "ambient", text, was, "jane"), "denied request: "+field+": ", text)
			require.ErrorContains(t, ask(shared, "none", text, was, "jane"), "denied request: "+field+": ", text)
			require.NoError(t, ask(own, "ambient", text, was, "platform"), text)
			require.NoError(t, ask(own, "none", text, was, "jane"), text)
		}
		require.NoError(t, ask(own, "ambient", strings.Replace(text, "a: b", "a: c", 1), text, "jane"), "it was there before: %s", text)
		require.NoError(t, ask(own, "ambient", whole, text, "jane"), "it is mended: %s", text)
		require.NoError(t, ask(own, "ambient", strings.Replace(text, "name: waypoint,", "name: other,", 1), "", "jane"), text)
	}
	require.ErrorContains(t, ask(own, "ambient", gateway(", istio.io/rev: no-such", class+", listeners: ["+hbone+"]"), whole, "jane"), "metadata.labels[istio.io/rev]: ")
	for _, text := range []string{whole, gateway(", istio.io/waypoint-for: all", class+", listeners: ["+from("All")+"]")} {
		require.NoError(t, ask(own, "ambient", text, "", "jane"))
		require.NoError(t, ask(own, "ambient", text, whole, "jane"))
	}
	require.ErrorContains(t, ask(shared, "none", whole, gateway("", class+", listeners: ["+from("All")+"]"), "jane"), "spec.listeners: ", "it is that of other namespaces")
	for text, field := range map[string]string{
		gateway("", class+", listeners: ["+hbone+"], addresses: [{type: Hostname, value: mine}]"):                                  "spec.addresses",
		gateway("", class+", listeners: ["+hbone+"], infrastructure: {parametersRef: {group: \"\", kind: ConfigMap, name: mine}}"): "spec.infrastructure",
		strings.Replace(whole, "labels: {", "annotations: {gateway.istio.io/name-override: mine}, labels: {", 1):                   "metadata.annotations[gateway.istio.io/name-override]",
	} {
		for _, was := range []string{"", whole} {
			require.ErrorContains(t, ask(shared, "none", text, was, "jane"), "denied request: "+field+": ", text)
			require.NoError(t, ask(own, "ambient", text, was, "jane"), "its calls are its own namespace's: %s", text)
		}
		require.ErrorContains(t, ask(shared, "none", whole, text, "jane"), "denied request: "+field+": ", text)
		require.NoError(t, ask(shared, "none", strings.Replace(text, "a: b", "a: c", 1), text, "jane"), "it was there before: %s", text)
	}
	require.ErrorContains(t, ask(shared, "none", gateway("", class+", listeners: ["+hbone+"], tls: {}"), whole, "jane"), "denied request: spec: ")
	require.NoError(t, ask(shared, "none", gateway("", class+", listeners: ["+hbone+"], infrastructure: {labels: {a: b}}"), "", "jane"))
	policies, _ := guards(t, rendered(t, nil))
	assert.NotContains(t, policies, "waypoints", "no gateway has one")
	policies, actions := guards(t, rendered(t, withWaypoint(values{"name": "waypoint"})))
	assert.Equal(t, policies["entries"].Spec.MatchConstraints.NamespaceSelector, policies["waypoints"].Spec.MatchConstraints.NamespaceSelector)
	assert.Equal(t, actions["entries"], actions["waypoints"])
}
