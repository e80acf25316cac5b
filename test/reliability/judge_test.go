package reliability

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// gateway is the host of the egress gateway's Service.
const gateway = controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"

// differs says how a stored object differs from what admission must have made of it, empty where it does not: an entry's only
// endpoint is the gateway, and a route leads there.
func differs(stored *unstructured.Unstructured) string {
	spec, _, _ := unstructured.NestedMap(stored.Object, "spec")
	want := map[string]any{"hosts": spec["hosts"], "exportTo": []any{"."}}
	switch stored.GetKind() {
	case "ServiceEntry":
		ports := map[string]any{}
		named, _, _ := unstructured.NestedSlice(spec, "ports")
		for _, port := range named {
			of, _ := port.(map[string]any)
			ports[fmt.Sprint(of["name"])] = of["number"]
		}
		want["resolution"], want["ports"] = "DNS", spec["ports"]
		want["endpoints"] = []any{map[string]any{"address": gateway, "ports": ports}}
	case "VirtualService":
		routes, _, _ := unstructured.NestedSlice(spec, "http")
		if len(routes) == 0 {
			break
		}
		first, _ := routes[0].(map[string]any)
		want["http"] = []any{map[string]any{"timeout": first["timeout"], "route": []any{map[string]any{
			"destination": map[string]any{"host": gateway, "port": map[string]any{"number": int64(80)}},
		}}}}
	}
	if !equality.Semantic.DeepEqual(want, spec) {
		return fmt.Sprintf("%s %s/%s: %v", stored.GetKind(), stored.GetNamespace(), stored.GetName(), spec)
	}
	return ""
}

// listed returns what is stored of a kind.
func listed(ctx context.Context, c client.Client, kind string, options ...client.ListOption) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind(kind + "List")
	err := c.List(ctx, list, options...)
	return list.Items, err
}

// sealed returns what is stored of some kinds otherwise than it must be, and otherwise than its tenants know of it. No request is
// under way.
func (l *load) sealed(ctx context.Context, c client.Client, kinds ...string) error {
	var wrong []string
	for _, of := range l.tenants {
		found := map[string]bool{}
		for _, kind := range kinds {
			items, err := listed(ctx, c, kind, client.InNamespace(of.namespace))
			if err != nil {
				return err
			}
			for i := range items {
				name := kind + "/" + items[i].GetName()
				found[name] = true
				if differs := differs(&items[i]); differs != "" {
					wrong = append(wrong, differs)
				}
				if !of.stored[name] && of.doing != name {
					wrong = append(wrong, of.namespace+": "+name+" is stored, and was deleted")
				}
			}
		}
		for name, is := range of.stored {
			kind, _, _ := strings.Cut(name, "/")
			if is && !found[name] && of.doing != name && slices.Contains(kinds, kind) {
				wrong = append(wrong, of.namespace+": "+name+" is not stored, and was")
			}
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

// standing returns why the exits are not those of the entries: each entry says that it has its exit, and none is left over.
func (l *load) standing(ctx context.Context, c client.Client) error {
	want := map[string]bool{}
	for _, of := range l.tenants {
		entries, err := listed(ctx, c, "ServiceEntry", client.InNamespace(of.namespace))
		if err != nil {
			return err
		}
		for i := range entries {
			hosts, _, _ := unstructured.NestedStringSlice(entries[i].Object, "spec", "hosts")
			for _, host := range hosts {
				want[host] = true
			}
			if !controlplane.Met(&entries[i], "ExitReady", "True") {
				return fmt.Errorf("%s/%s: ExitReady is %q", of.namespace, entries[i].GetName(), controlplane.ConditionOf(&entries[i], "ExitReady", "status"))
			}
		}
	}
	for _, kind := range []string{"ServiceEntry", "VirtualService"} {
		exits, err := listed(ctx, c, kind, client.InNamespace(controlplane.GatewayNamespace), client.MatchingLabels{hop.ManagedByLabel: hop.Manager})
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for i := range exits {
			if host := exits[i].GetAnnotations()[hop.HostAnnotation]; strings.HasSuffix(host, ".example.com") {
				have[host] = true
			}
		}
		if !maps.Equal(want, have) {
			return fmt.Errorf("exits have a %s of %v, entries are of %v", kind, slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
		}
	}
	return nil
}
