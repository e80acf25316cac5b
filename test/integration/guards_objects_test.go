package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestServicesStayInTheCluster: what leads out of it is caught, what was there before is left, and so are the controllers.
func TestServicesStayInTheCluster(t *testing.T) {
	guarded(t)
	ns := namespace(t, nil)
	c, _ := author(t)
	const (
		named     = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: %s}"
		slice     = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: %s\nendpoints: [{addresses: [%s]}]"
		endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets: [{addresses: [{ip: 10.0.0.1}], %s: [{ip: %s}]}]"
	)
	for name, tc := range map[string]struct{ manifest, guard, field string }{
		"ExternalName":             {fmt.Sprintf(named, "api.example.com"), "external-names", "spec.externalName"},
		"ExternalName, alike":      {fmt.Sprintf(named, "a.svc.cluster.local.example.com"), "external-names", "spec.externalName"},
		"ExternalName, an address": {fmt.Sprintf(named, "203.0.113.7"), "external-names", "spec.externalName"},
		"EndpointSlice":            {fmt.Sprintf(slice, "IPv4", "203.0.113.7"), "endpoints", "endpoints: "},
		"EndpointSlice, IPv6":      {fmt.Sprintf(slice, "IPv6", "'2001:db8::1'"), "endpoints", "endpoints: "},
		"EndpointSlice, a name":    {fmt.Sprintf(slice, "FQDN", "api.example.com"), "endpoints", "endpoints: "},
		"Endpoints":                {fmt.Sprintf(endpoints, "addresses", "203.0.113.7"), "endpoints", "subsets: "},
		"Endpoints, not ready":     {fmt.Sprintf(endpoints, "notReadyAddresses", "203.0.113.7"), "endpoints", "subsets: "},
	} {
		t.Run(name, func(t *testing.T) {
			manifest := tc.manifest
			if name == "Endpoints" {
				manifest = strings.Replace(manifest, "addresses: [{ip: 10.0.0.1}], ", "", 1)
			}
			caught(t, c.Create(t.Context(), object(t, ns, manifest), client.DryRunAll), tc.guard, tc.field)
		})
	}
	for name, manifest := range map[string]string{
		"ExternalName of a Service": fmt.Sprintf(named, "a.b.svc.cluster.local"),
		"EndpointSlice, a pod":      fmt.Sprintf(slice, "IPv4", "10.1.2.3"),
		"EndpointSlice, IPv6":       fmt.Sprintf(slice, "IPv6", "'fd00::1'"),
		"Service":                   "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}",
		"empty slice":               "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints: []",
	} {
		require.NoError(t, c.Create(t.Context(), object(t, ns, manifest), client.DryRunAll), name)
	}
	controller, _ := as(t, "system:serviceaccount:kube-system:endpointslice-controller")
	require.NoError(t, controller.Create(t.Context(), object(t, ns, fmt.Sprintf(slice, "IPv4", "203.0.113.7")), client.DryRunAll))

	glass, _ := as(t, "before", "egress-governor:break-glass")
	stored := object(t, ns, fmt.Sprintf(named, "before.example.com"))
	require.NoError(t, glass.Create(t.Context(), stored))
	patch := func(patch string) error {
		return c.Patch(t.Context(), stored.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
	}
	require.NoError(t, patch(`{"metadata":{"labels":{"a":"b"}}}`), "what was there before")
	caught(t, patch(`{"spec":{"externalName":"other.example.com"}}`), "external-names", "spec.externalName")
}

// TestLabelsOfNamespaces that decide on egress are the platform team's to set.
func TestLabelsOfNamespaces(t *testing.T) {
	guarded(t)
	bind(t, "cluster-admin", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "administrators"})
	bind(t, "egress-governor-namespace-labels", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "labellers"})
	for name, tc := range map[string]struct {
		before, after map[string]string
		says          string
	}{
		"exempt":                      {nil, map[string]string{"egress-governor.io/exempt": "true"}, "metadata.labels: with these the namespace's egress is not governed"},
		"observed":                    {nil, observed, "metadata.labels: with these the namespace's egress is not governed"},
		"pods exempt":                 {nil, map[string]string{"egress-governor.io/exempt-pods": "true"}, "metadata.labels[egress-governor.io/exempt-pods]: "},
		"another gateway":             {nil, throughPCI, "by egress gateway 'pci' in the place of 'default'"},
		"back to the first":           {throughPCI, nil, "by egress gateway 'default' in the place of 'pci'"},
		"istio-injection disabled":    {injected, map[string]string{"istio-injection": "disabled"}, "metadata.labels[istio-injection]: "},
		"istio-injection removed":     {injected, nil, "metadata.labels[istio-injection]: "},
		"istio.io/rev removed":        {map[string]string{"istio.io/rev": "a"}, nil, "metadata.labels[istio.io/rev]: "},
		"istio.io/rev of nobody":      {map[string]string{"istio.io/rev": "a"}, map[string]string{"istio.io/rev": "b"}, "metadata.labels[istio.io/rev]: "},
		"istio.io/rev called enabled": {map[string]string{"istio.io/rev": "a"}, map[string]string{"istio.io/rev": "enabled"}, "metadata.labels[istio.io/rev]: "},
		"istio-injection beside it":   {map[string]string{"istio.io/rev": "a"}, map[string]string{"istio.io/rev": "a", "istio-injection": "enabled"}, "metadata.labels[istio-injection]: "},
		"istio-injection: a word":     {nil, map[string]string{"istio-injection": "on"}, "metadata.labels[istio-injection]: "},
		"istio.io/rev beside it":      {injected, map[string]string{"istio-injection": "enabled", "istio.io/rev": "a"}, ""},
		"injected by a revision":      {nil, map[string]string{"istio.io/rev": "a"}, ""},
		"ambient":                     {nil, map[string]string{"istio.io/dataplane-mode": "ambient"}, "metadata.labels[istio.io/dataplane-mode]: "},
		"waypoint":                    {nil, map[string]string{"istio.io/use-waypoint": "mine"}, "metadata.labels[istio.io/use-waypoint]: "},
		"a share by another waypoint": {nil, map[string]string{"istio.io/use-waypoint-canary": "mine"}, "metadata.labels[istio.io/use-waypoint-canary]: "},
		"injection switched on":       {nil, injected, ""},
		"of nobody's business":        {injected, map[string]string{"istio-injection": "enabled", "team": "a"}, ""},
		"exempt before":               {map[string]string{"egress-governor.io/exempt": "true"}, map[string]string{"egress-governor.io/exempt": "true", "team": "a"}, ""},
		"exempt no longer":            {map[string]string{"egress-governor.io/exempt": "true"}, nil, ""},
		"another gateway, ungoverned": {map[string]string{"egress-governor.io/exempt": "true"}, map[string]string{"egress-governor.io/exempt": "true", "egress": "pci"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &corev1.Namespace{}
			require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: namespace(t, tc.before)}, in))
			in.Labels = map[string]string{"kubernetes.io/metadata.name": in.Name}
			for key, value := range tc.after {
				in.Labels[key] = value
			}
			c, heard := author(t)
			labelRefused(t, c.Update(t.Context(), in.DeepCopy(), client.DryRunAll), tc.says)
			if tc.before == nil {
				labelRefused(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: tc.after}}, client.DryRunAll), tc.says)
			}
			assert.Empty(t, heard.texts)
			for _, platform := range []string{"system:masters", "administrators", "labellers"} {
				c, heard = as(t, "platform", platform)
				require.NoError(t, c.Update(t.Context(), in.DeepCopy(), client.DryRunAll), platform)
				assert.Empty(t, heard.texts)
			}
		})
	}
}

// bind gives somebody a role in the whole cluster.
func bind(t *testing.T, role string, to rbacv1.Subject) {
	t.Helper()
	require.NoError(t, client.IgnoreAlreadyExists(shared.Client.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: named("", role+"-"+to.Name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{to},
	})))
}

// labelRefused asserts that the guard of namespaces answers with a text, and nobody where that is empty.
func labelRefused(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" {
		require.NoError(t, err)
		return
	}
	caught(t, err, "namespace-labels", "metadata.labels")
	assert.Contains(t, err.Error(), text)
}

// TestWhoOwnsANamespaceDoesNotTakeItOut: every right in a namespace is none over the labels that decide on its egress.
func TestWhoOwnsANamespaceDoesNotTakeItOut(t *testing.T) {
	guarded(t)
	in := &corev1.Namespace{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: namespace(t, injected)}, in))
	require.NoError(t, shared.Client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: named(in.Name, "owner"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "owner"}},
	}))
	config := rest.CopyConfig(shared.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "owner"}
	owner, err := client.New(config, client.Options{Scheme: shared.Client.Scheme()})
	require.NoError(t, err)
	labelled := func(labels string) error {
		return owner.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":`+labels+`}}`)), client.DryRunAll)
	}
	eventually(t, func() bool { return labelled(`{"team":"a"}`) == nil }, "the namespace is the owner's to write")
	for labels, says := range map[string]string{
		`{"egress-governor.io/exempt":"true"}`: "the namespace's egress is not governed", `{"egress-governor.io/exempt-pods":"true"}`: "exempt-pods",
		`{"istio-injection":null}`: "istio-injection", `{"egress":"pci"}`: "by egress gateway 'pci'",
	} {
		labelRefused(t, labelled(labels), says)
	}
}

// TestExitSetsAreOursAlone: a tenant with every right does not write, relabel or delete them, nor client rules; what goes with
// its namespace goes.
func TestExitSetsAreOursAlone(t *testing.T) {
	guarded(t)
	const host = "ours-alone.example.com"
	ns := namespace(t, map[string]string{"egress": "vault"})
	in := entry(t, "v1", ns, "e", strings.ReplaceAll(hostSpec, "HOST", host))
	require.NoError(t, shared.Client.Create(t.Context(), in))
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	objects, err := controlplane.ExitSet(t.Context(), shared.Client, vaultNamespace, host)
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	gateway := object(t, vaultNamespace, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: egress-governor-vault-mutual-tls}")
	rule := object(t, ns, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, labels: {app.kubernetes.io/managed-by: egress-governor}, annotations: {egress-governor.io/host: "+host+"}}\nspec: {host: "+host+"}")
	c, _ := author(t)
	const field = "metadata.labels[app.kubernetes.io/managed-by]"
	caught(t, c.Create(t.Context(), rule, client.DryRunAll), "exit-sets", field)
	for _, rule := range stored(t, "DestinationRule", ns) {
		objects = append(objects, &rule)
	}
	require.Equal(t, "DestinationRule", objects[len(objects)-1].GetKind(), "a client rule")
	collector, _ := as(t, "system:serviceaccount:kube-system:namespace-controller")
	for _, object := range append(objects, gateway) {
		for what, patch := range map[string]string{
			"another spec": `{"spec":{"exportTo":["*"]}}`, "no label": `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`, "no host": `{"metadata":{"annotations":null}}`,
		} {
			if err := c.Patch(t.Context(), object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll); what != "another spec" || object.GetKind() != "Gateway" {
				caught(t, err, "exit-sets", field)
			}
		}
		caught(t, c.Delete(t.Context(), object.DeepCopy(), client.DryRunAll), "exit-sets", field)
		require.NoError(t, collector.Delete(t.Context(), object.DeepCopy(), client.DryRunAll))
	}
	all := &unstructured.Unstructured{}
	all.SetGroupVersionKind(objects[0].GroupVersionKind())
	caught(t, c.DeleteAllOf(t.Context(), all, client.InNamespace(vaultNamespace), &client.DeleteAllOfOptions{DeleteOptions: client.DeleteOptions{DryRun: []string{metav1.DryRunAll}}}), "exit-sets", field)
	require.NoError(t, c.Delete(t.Context(), in), "the entry is the author's")
	eventually(t, func() bool {
		left, err := controlplane.ExitSet(t.Context(), shared.Client, vaultNamespace, host)
		return err == nil && len(left) == 0
	}, "we take the exit away ourselves")
}

// TestTheGuardSelectsAsLabelSelectorsDo: each operator, in the place of the values' own. It is not parallel: it holds for everybody.
func TestTheGuardSelectsAsLabelSelectorsDo(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	objects, err := controlplane.Render(filepath.Join(root, "charts", "egress-governor"), map[string]any{"namespaceSelector": map[string]any{
		"matchLabels": map[string]any{"mesh": "on"}, "matchExpressions": []any{
			map[string]any{"key": "tier", "operator": "In", "values": []any{"a", "b"}}, map[string]any{"key": "zone", "operator": "NotIn", "values": []any{"c"}},
			map[string]any{"key": "team", "operator": "Exists"}, map[string]any{"key": "free", "operator": "DoesNotExist"},
		},
	}})
	require.NoError(t, err)
	const guard = "selects-otherwise"
	for _, object := range objects {
		if object.GetName() != "egress-governor-namespace-labels" {
			continue
		}
		object.SetName(guard)
		if object.GetKind() == "ValidatingAdmissionPolicyBinding" {
			require.NoError(t, unstructured.SetNestedField(object.Object, guard, "spec", "policyName"))
		}
		require.NoError(t, shared.Client.Create(t.Context(), object))
		t.Cleanup(func() { assert.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), object)) })
	}
	full := map[string]string{"mesh": "on", "tier": "b", "team": "x", "zone": "d"}
	in := &corev1.Namespace{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: namespace(t, full)}, in))
	refusedFor := func(key, value string) bool {
		with := in.DeepCopy()
		with.Labels[key] = value
		if value == "" {
			delete(with.Labels, key)
		}
		c, _ := author(t)
		err := c.Update(t.Context(), with, client.DryRunAll)
		return strings.Contains(fmt.Sprint(err), "'"+guard+"' with binding '"+guard+"' denied request: metadata.labels: with these the namespace's egress is not governed")
	}
	eventually(t, func() bool { return refusedFor("mesh", "") }, "the guard is in force")
	for change, refuses := range map[[2]string]bool{
		{"mesh", "off"}: true, {"tier", "c"}: true, {"tier", ""}: true, {"tier", "a"}: false, {"zone", "c"}: true, {"zone", ""}: false,
		{"team", ""}: true, {"team", "y"}: false, {"free", "x"}: true, {"other", "x"}: false,
	} {
		assert.Equal(t, refuses, refusedFor(change[0], change[1]), change)
	}
}
