package chart

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestTheImage: a digest counts more than a tag, and stands behind the registry of all charts.
func TestTheImage(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for want, given := range map[string]values{
		"egress-governor:0.1.0":                     nil,
		"own/governor:1":                            {"image": values{"repository": "own/governor", "tag": "1"}},
		"reg.test/egress-governor:0.1.0":            {"global": values{"imageRegistry": "reg.test"}},
		"reg.test/mirror/egress-governor@" + digest: {"global": values{"imageRegistry": "reg.test/mirror/"}, "image": values{"digest": digest, "tag": "1"}},
	} {
		assert.Equal(t, want, only[appsv1.Deployment](t, rendered(t, given), "Deployment").Spec.Template.Spec.Containers[0].Image)
	}
}

// TestTheDeploymentTakesWhatOperatorsAdd, and keeps what it has.
func TestTheDeploymentTakesWhatOperatorsAdd(t *testing.T) {
	t.Parallel()
	deployment := only[appsv1.Deployment](t, rendered(t, values{
		"logLevel": "debug", "extraArgs": []any{"--pprof-address=127.0.0.1:6060"}, "extraEnv": []any{values{"name": "HTTPS_PROXY", "value": "http://proxy.test"}},
		"podSecurityContext": values{"runAsUser": 1000}, "securityContext": values{"privileged": false}, "deploymentAnnotations": values{"a": "b"},
		"topologySpreadConstraints": []any{values{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}},
	}), "Deployment")
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	assert.Subset(t, container.Args, []string{"--log-level=debug", "--pprof-address=127.0.0.1:6060", "--config=/etc/egress-governor/config.yaml"})
	assert.Equal(t, []string{"POD_NAMESPACE", "HTTPS_PROXY"}, []string{container.Env[0].Name, container.Env[1].Name})
	assert.EqualValues(t, 1000, *pod.SecurityContext.RunAsUser)
	assert.True(t, *pod.SecurityContext.RunAsNonRoot, "values are laid over the chart's")
	assert.False(t, *container.SecurityContext.Privileged)
	assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	assert.Equal(t, "b", deployment.Annotations["a"])
	assert.Equal(t, "zone", pod.TopologySpreadConstraints[0].TopologyKey)
	assert.Len(t, pod.TopologySpreadConstraints, 1)
}

// TestWhatOperatorsSetStandsWhereItIsGoneBy, under the names of Kubernetes' own fields.
func TestWhatOperatorsSetStandsWhereItIsGoneBy(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		value any
		kind  string
		at    string
		want  any
	}{
		"image.pullPolicy":                 {"Always", "Deployment", "spec.template.spec.containers.0.imagePullPolicy", nil},
		"imagePullSecrets":                 {[]any{values{"name": "pull"}}, "Deployment", "spec.template.spec.imagePullSecrets", nil},
		"affinity":                         {values{"nodeAffinity": values{"a": "b"}}, "Deployment", "spec.template.spec.affinity", nil},
		"priorityClassName":                {"system-cluster-critical", "Deployment", "spec.template.spec.priorityClassName", nil},
		"nodeSelector":                     {values{"pool": "infra"}, "Deployment", "spec.template.spec.nodeSelector", nil},
		"tolerations":                      {[]any{values{"operator": "Exists"}}, "Deployment", "spec.template.spec.tolerations", nil},
		"podLabels":                        {values{"a": "b"}, "Deployment", "spec.template.metadata.labels.a", "b"},
		"podAnnotations":                   {values{"a": "b"}, "Deployment", "spec.template.metadata.annotations.a", "b"},
		"resources.limits.memory":          {"1Gi", "Deployment", "spec.template.spec.containers.0.resources.limits.memory", nil},
		"webhook.tlsMinVersion":            {"1.2", "Deployment", "spec.template.spec.containers.0.args.3", "--tls-min-version=1.2"},
		"serviceAccount.annotations":       {values{"a": "b"}, "ServiceAccount", "metadata.annotations", nil},
		"podDisruptionBudget.minAvailable": {"50%", "PodDisruptionBudget", "spec.minAvailable", nil},
		"webhook.timeoutSeconds":           {int64(7), "MutatingWebhookConfiguration", "webhooks.0.timeoutSeconds", nil},
		"nameOverride":                     {"exits", "Deployment", "metadata.name", controlplane.Release + "-exits"},
		"fullnameOverride":                 {"exits", "Deployment", "metadata.name", "exits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var at any = *only[values](t, rendered(t, nested(values{name: row.value})), row.kind)
			for part := range strings.SplitSeq(row.at, ".") {
				if number, err := strconv.Atoi(part); err == nil {
					at = at.([]any)[number]
				} else {
					at = at.(values)[part]
				}
			}
			if row.want == nil {
				row.want = row.value
			}
			assert.EqualValues(t, row.want, at)
		})
	}
}

// TestReplicasScale between two, or replicaCount, and the most; nothing else says how many there are then.
func TestReplicasScale(t *testing.T) {
	t.Parallel()
	for given, want := range map[int]int32{1: 2, 3: 3} {
		objects := rendered(t, values{"replicaCount": given, "autoscaling": values{"enabled": true, "maxReplicas": 4}})
		scaler := only[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler")
		assert.Equal(t, want, *scaler.Spec.MinReplicas)
		assert.EqualValues(t, 4, scaler.Spec.MaxReplicas)
		deployment := only[appsv1.Deployment](t, objects, "Deployment")
		assert.Equal(t, deployment.Name, scaler.Spec.ScaleTargetRef.Name)
		assert.Nil(t, deployment.Spec.Replicas)
		only[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")
	}
}
