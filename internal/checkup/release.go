package checkup

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// The oldest releases that it runs with; the chart and docs/install.md say the same.
var (
	oldestKubernetes = version.MustParseGeneric("1.30")
	oldestWithGuards = version.MustParseGeneric("1.31")
	oldestIstio      = version.MustParseGeneric("1.22")
)

func lookAtConfiguration(v *view) {
	if v.Mesh == nil {
		v.find(Finding{
			Code: "configuration-unknown", Severity: Error, Message: "the webhook's configuration is not known: " + v.Unconfigured,
			Why: "no replica of the webhook starts by it", Fix: "see that the release is installed (helm list -A), and correct its values",
		})
	}
}

func lookAtVersions(v *view) {
	switch is, err := version.ParseGeneric(v.Version); {
	case err != nil, is.Major() == 0: // a build of nobody's release
		v.cannot(fmt.Sprintf("which Kubernetes this is: %q is no release", v.Version))
	case is.LessThan(oldestKubernetes):
		v.find(Finding{
			Code: "kubernetes-unsupported", Severity: Error, Object: "Kubernetes " + v.Version, Message: "Kubernetes is older than " + oldestKubernetes.String(),
			Why: "what the chart installs is not all known to it", Fix: "upgrade the cluster",
		})
	case is.LessThan(oldestWithGuards):
		v.find(Finding{
			Code: "kubernetes-without-guards", Severity: Warning, Object: "Kubernetes " + v.Version, Message: "Kubernetes is older than " + oldestWithGuards.String(),
			Why: "there are no guards, which keep pods behind their sidecars", Fix: "upgrade the cluster, and the release after it",
		})
	}
	istiods := 0
	for _, pod := range v.istiods() {
		istiods++
		for _, container := range pod.Spec.Containers {
			if !strings.Contains(container.Image, "pilot") {
				continue
			}
			said := istioVersion.FindStringSubmatch(container.Image)
			if said == nil {
				v.cannot(fmt.Sprintf("which Istio this is: image %s of pod %s/%s does not say", container.Image, pod.Namespace, pod.Name))
				continue
			}
			if is := version.MustParseGeneric(said[1]); is.LessThan(oldestIstio) {
				v.find(Finding{
					Code: "istio-unsupported", Severity: Error, Object: titleOf("Pod", pod.Namespace, pod.Name), Message: fmt.Sprintf("Istio %s is older than %s", said[1], oldestIstio),
					Why: "it does not go by networking.istio.io/v1", Fix: "upgrade Istio",
				})
			}
		}
	}
	if istiods == 0 {
		v.cannot(fmt.Sprintf("which Istio this is: no istiod runs in namespace %s", v.Configuration.MeshConfig.Namespace))
	}
}

// istioVersion is in the tag of an image of Istio's.
var istioVersion = regexp.MustCompile(`:[^:@/]*?(\d+\.\d+(?:\.\d+)?)[^:@/]*(?:@|$)`)

// istiods returns the running pods of istiod.
func (v *view) istiods() (out []corev1.Pod) {
	for _, pod := range all[corev1.Pod](v, pods) {
		if pod.Namespace == v.Configuration.MeshConfig.Namespace && pod.Labels["app"] == "istiod" && pod.Status.Phase == corev1.PodRunning {
			out = append(out, pod)
		}
	}
	return out
}

func lookAtKinds(v *view) {
	known := map[string]apiextensionsv1.CustomResourceDefinition{}
	for _, definition := range all[apiextensionsv1.CustomResourceDefinition](v, definitions) {
		known[definition.Name] = definition
	}
	for _, want := range []struct{ name, version, fix string }{
		{"egresspolicies.egress-governor.io", "v1alpha1", "helm upgrade the release, or apply its chart again"},
		{"serviceentries.networking.istio.io", "v1", "install Istio's CRDs, of 1.22 or later"},
		{"virtualservices.networking.istio.io", "v1", "install Istio's CRDs, of 1.22 or later"},
		{"destinationrules.networking.istio.io", "v1", "install Istio's CRDs, of 1.22 or later"},
		{"gateways.networking.istio.io", "v1", "install Istio's CRDs, of 1.22 or later"},
		{"sidecars.networking.istio.io", "v1", "install Istio's CRDs, of 1.22 or later"},
	} {
		wrong := func(code, message, why string) {
			v.find(Finding{Code: code, Severity: Error, Object: titleOf("CustomResourceDefinition", "", want.name), Message: message, Why: why, Fix: want.fix})
		}
		of, is := known[want.name]
		if !is {
			wrong("kind-missing", "the kind does not exist", "the webhook waits for it, and answers nothing")
			continue
		}
		serves := func(version string) bool {
			return slices.ContainsFunc(of.Spec.Versions, func(each apiextensionsv1.CustomResourceDefinitionVersion) bool {
				return each.Name == version && each.Served
			})
		}
		if !serves(want.version) {
			wrong("kind-version-missing", "version "+want.version+" is not served", "the webhook waits for it, and answers nothing")
		}
		for _, stored := range of.Status.StoredVersions {
			if !slices.ContainsFunc(of.Spec.Versions, func(each apiextensionsv1.CustomResourceDefinitionVersion) bool { return each.Name == stored }) {
				wrong("kind-stored-version", "objects are stored in version "+stored+", which the kind has no more", "they cannot be read, and the kind cannot be changed")
			}
		}
	}
}

func lookAtRelease(v *view) {
	object := titleOf("Deployment", v.Release.Namespace, v.Release.Name)
	of, err := as[appsv1.Deployment](v.named(deployments, v.Release.Namespace, v.Release.Name))
	if err != nil {
		v.find(Finding{Code: "release-missing", Severity: Error, Object: object, Message: "the webhook's Deployment does not exist", Why: "nobody answers the API server", Fix: "helm upgrade the release, or apply its chart again"})
		return
	}
	want := int32(1)
	if of.Spec.Replicas != nil {
		want = *of.Spec.Replicas
	}
	look := fmt.Sprintf("see why: kubectl -n %s get pods, and their logs", v.Release.Namespace)
	switch ready := of.Status.ReadyReplicas; {
	case ready == 0:
		v.find(Finding{Code: "release-not-ready", Severity: Error, Object: object, Message: fmt.Sprintf("none of %s is ready", count(int(want), "replica")), Why: "nobody answers the API server, which refuses what it would have asked about", Fix: look + "; if that takes long: egressctl stop"})
	case ready < want:
		v.find(Finding{Code: "release-not-ready", Severity: Warning, Object: object, Message: fmt.Sprintf("%d of %s are ready", ready, count(int(want), "replica")), Why: "one more that goes may be the last", Fix: look})
	case want == 1:
		v.find(Finding{Code: "release-single-replica", Severity: Warning, Object: object, Message: "there is one replica", Why: "while it restarts, whatever it would be asked about is refused", Fix: "set replicaCount to two or more"})
	}
	v.lookAtReplicas(of, object)
	v.lookAtLeader()
}

// lookAtReplicas says where they are not all the same.
func (v *view) lookAtReplicas(of appsv1.Deployment, object string) {
	images, builds := map[string]bool{}, map[string]bool{}
	for _, pod := range all[corev1.Pod](v, pods) {
		if pod.Namespace != of.Namespace || pod.DeletionTimestamp != nil || !selected(of.Spec.Selector, pod.Labels) {
			continue
		}
		for _, container := range pod.Spec.Containers {
			if container.Name == "webhook" {
				images[container.Image] = true
			}
		}
		for _, status := range pod.Status.ContainerStatuses {
			if status.Name != "webhook" {
				continue
			}
			if status.ImageID != "" {
				builds[status.ImageID] = true
			}
			if waiting := status.State.Waiting; waiting != nil && status.RestartCount > 0 {
				v.find(Finding{
					Code: "release-crashes", Severity: Error, Object: titleOf("Pod", pod.Namespace, pod.Name), Message: fmt.Sprintf("the webhook has ended %d times (%s)", status.RestartCount, waiting.Reason),
					Why: "a replica that starts answers nothing", Fix: fmt.Sprintf("see why: kubectl -n %s logs %s --previous", pod.Namespace, pod.Name),
				})
			}
		}
	}
	differ := func(severity Severity, what string) {
		v.find(Finding{
			Code: "release-versions-differ", Severity: severity, Object: object, Message: "its pods run " + what, Why: "replicas may answer the same question differently",
			Fix: fmt.Sprintf("see whether a rollout is stuck: kubectl -n %s rollout status deployment/%s", of.Namespace, of.Name),
		})
	}
	switch {
	case len(images) > 1:
		differ(Error, "different images: "+some(slices.Collect(maps.Keys(images))))
	case len(builds) > 1:
		differ(Warning, "different builds of one image, unless nodes are of several architectures: "+some(slices.Collect(maps.Keys(builds))))
	}
}

// leaderGone is after how long without a word a leader is taken for gone.
const leaderGone = time.Minute

func (v *view) lookAtLeader() {
	lease, err := as[coordinationv1.Lease](v.named(leases, v.Release.Namespace, "egress-governor"))
	holds := err == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" &&
		lease.Spec.RenewTime != nil && v.Now.Sub(lease.Spec.RenewTime.Time) < leaderGone
	if !holds {
		v.find(Finding{
			Code: "release-without-leader", Severity: Error, Object: titleOf("Lease", v.Release.Namespace, "egress-governor"), Message: "no replica leads",
			Why: "nobody makes exits, and nobody judges what is stored", Fix: "see why in the webhook's log; the lease must be its service account's to update",
		})
	}
}

// Istiods returns the running pods of istiod.
func (s *Snapshot) Istiods() []corev1.Pod { return (&view{Snapshot: s}).istiods() }
