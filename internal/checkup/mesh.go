package checkup

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// MeshSettings are what is asked of Istio's mesh configuration besides what preflight looks at.
type MeshSettings struct {
	RootNamespace string
	DNSCapture    bool
}

func lookAtMesh(v *view) {
	v.problems(Error, "sidecar-allow-any", "namespace-not-closed")
	v.problems(Warning, "outbound-allow-any")
	name := v.Configuration.MeshConfig.Key()
	object := titleOf("ConfigMap", name.Namespace, name.Name)
	stored := v.named(configMaps, name.Namespace, name.Name)
	if stored == nil {
		v.find(Finding{
			Code: "mesh-configuration-missing", Severity: Error, Object: object, Message: "Istio's mesh configuration is not where config.meshConfig says",
			Why: "what of it stands against the gateways nobody sees, and istiod's identity is looked for in the wrong namespace", Fix: "set config.meshConfig.namespace and name; of a revision it is istio-<revision>",
		})
		return
	}
	if v.MeshUnread != nil {
		v.cannot(v.MeshUnread.Error())
		return
	}
	if on := v.MeshIs.DNSCapture; v.Configuration.DNSCapture == "On" && !on {
		v.find(Finding{
			Code: "dns-capture-off", Severity: Error, Object: object, Message: "config.dnsCapture is On, and the mesh's sidecars do not capture DNS",
			Why: "raw TCP of two hosts on one port is let in, and one of them gets the calls of both", Fix: "set ISTIO_META_DNS_CAPTURE in meshConfig.defaultConfig.proxyMetadata, or config.dnsCapture to Detect",
		})
	}
	if root := v.MeshIs.RootNamespace; v.Governed(root) {
		v.find(Finding{
			Code: "root-namespace-governed", Severity: Warning, Object: titleOf("Namespace", "", root), Message: "Istio's root namespace is governed like a tenant's",
			Why: "whoever may write there writes rules for every namespace", Fix: "set config.meshConfig.namespace to it, or exempt it; and keep tenants out of it",
		})
	}
	v.lookAtAmbient()
}

// lookAtAmbient says which governed namespaces are in ambient mode without a waypoint.
func (v *view) lookAtAmbient() {
	var without []string
	for _, namespace := range v.Objects[namespaces] {
		set := namespace.GetLabels()
		gw, leaves := v.Mesh.GatewayFor(labels.Set(set))
		if egress.Ambient(set) && v.Mesh.Governed.Matches(labels.Set(set)) && leaves && gw.WaypointOf(namespace.GetName()).Name == "" {
			without = append(without, namespace.GetName())
		}
	}
	if len(without) > 0 {
		v.find(Finding{
			Code: "ambient-without-waypoint", Severity: Warning, Object: titleOf("Namespace", "", slices.Min(without)), Message: "governed namespaces are in ambient mode, and their egress gateway has no waypoint: " + some(without),
			Why: "nobody checks who of their pods calls", Fix: "set waypoint of the gateway in the configuration",
		})
	}
}

// Governed says whether a namespace that is there is governed, where the mesh is known.
func (s *Snapshot) Governed(name string) bool {
	for _, namespace := range s.Objects[namespaces] {
		if namespace.GetName() == name {
			return s.Mesh.Governed.Matches(labels.Set(namespace.GetLabels()))
		}
	}
	return false
}

func are(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

func lookAtPods(v *view) {
	asked, unasked := map[string][]string{}, map[string][]string{}
	sets := map[string]map[string]string{}
	for _, namespace := range v.Objects[namespaces] {
		sets[namespace.GetName()] = namespace.GetLabels()
	}
	for _, pod := range all[corev1.Pod](v, pods) {
		set := sets[pod.Namespace]
		if set == nil || !v.Mesh.Governed.Matches(labels.Set(set)) || set[exemptPods] == "true" || done(pod) || meshed(pod, set) {
			continue
		}
		if pod.Labels["sidecar.istio.io/inject"] == "true" || set[injection] == "enabled" || set["istio.io/rev"] != "" && set[injection] == "" {
			asked[pod.Namespace] = append(asked[pod.Namespace], pod.Name)
			continue
		}
		unasked[pod.Namespace] = append(unasked[pod.Namespace], pod.Name)
	}
	why := "their calls leave directly, past every rule of the mesh"
	if v.Configuration.NetworkPolicies == "Manage" {
		why = "none of their calls goes through a gateway; what they call outside is the NetworkPolicy's to drop, as far as the network plugin does"
	}
	for _, namespace := range slices.Sorted(maps.Keys(asked)) {
		v.find(Finding{
			Code: "pod-without-sidecar", Severity: Error, Object: titleOf("Namespace", "", namespace), Message: fmt.Sprintf("%s without a sidecar, though the namespace or they ask for one: %s", have(len(asked[namespace])), some(asked[namespace])),
			Why: why, Fix: fmt.Sprintf("restart what was there before the mesh: kubectl -n %s rollout restart deployment; otherwise see what keeps the sidecar out (istioctl x check-inject)", namespace),
		})
	}
	for _, namespace := range slices.Sorted(maps.Keys(unasked)) {
		v.find(Finding{
			Code: "namespace-without-sidecars", Severity: Warning, Object: titleOf("Namespace", "", namespace), Message: fmt.Sprintf("the namespace is governed, and does not ask for sidecars; %s without: %s", have(len(unasked[namespace])), some(unasked[namespace])),
			Why: why, Fix: fmt.Sprintf("kubectl label namespace %s istio-injection=enabled, and restart its pods; config.networkPolicies: Manage holds pods without a sidecar", namespace),
		})
	}
}

func have(n int) string {
	if n == 1 {
		return "1 pod is"
	}
	return fmt.Sprintf("%d pods are", n)
}

// done says whether a pod calls nobody any more.
func done(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil
}

// meshed says whether a pod's calls go by a proxy of the mesh.
func meshed(pod corev1.Pod, namespace map[string]string) bool {
	if pod.Spec.HostNetwork {
		return false
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if container.Name == "istio-proxy" {
			return true
		}
	}
	return pod.Annotations["ambient.istio.io/redirection"] == "enabled" || egress.Ambient(namespace) && pod.Labels["istio.io/dataplane-mode"] != "none"
}

func lookAtRules(v *view) {
	v.problems(Error, "root-rule-passthrough")
	var found []string
	for _, filter := range v.Objects[envoyFilters] {
		// What we make there says so, by a label that guard exitSets keeps for us.
		if filter.GetNamespace() == v.MeshIs.RootNamespace && filter.GetLabels()[hop.ManagedByLabel] != hop.Manager {
			found = append(found, filter.GetName())
		}
	}
	if v.MeshUnread != nil {
		v.cannot(v.MeshUnread.Error())
	}
	if len(found) > 0 {
		v.find(Finding{
			Code: "root-envoy-filter", Severity: Warning, Object: titleOf("EnvoyFilter", v.MeshIs.RootNamespace, slices.Min(found)),
			Message: fmt.Sprintf("%s of Istio's root namespace, which no policy judges: %s", count(len(found), "EnvoyFilter"), some(found)),
			Why:     "they may change where any proxy leads calls", Fix: "see that each is the platform team's, and does not touch clusters or routes of outbound calls",
		})
	}
}
