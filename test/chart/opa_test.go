package chart

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestOPAsWordsReachTheWebhook as they are, with the files of a Secret and room for what is fetched; by default there is neither.
func TestOPAsWordsReachTheWebhook(t *testing.T) {
	t.Parallel()
	words := values{
		"services":      values{"control": values{"url": "https://control.test", "credentials": values{"bearer": values{"token_path": "/etc/egress-governor/opa/token"}}}},
		"keys":          values{"release": values{"algorithm": "ES256", "key": "PEM"}},
		"bundles":       values{"acme": values{"service": "control", "resource": "acme.tar.gz", "signing": values{"keyid": "release"}}},
		"decision_logs": values{"service": "control"}, "plugins": values{"file_logger": values{"path": "/tmp/x"}},
		"labels": values{"cluster": "blue"}, "mask": "package system.log\n",
	}
	objects := rendered(t, values{"config": values{"opa": words}, "opa": values{"secretName": "token"}})
	read, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
	require.NoError(t, err)
	said, err := read.OPA.Words()
	require.NoError(t, err)
	want, err := json.Marshal(words)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(said))
	pod := only[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec
	restricted(t, pod)
	mounts := map[string]string{}
	for _, mount := range pod.Containers[0].VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	assert.Equal(t, "/etc/egress-governor/opa", mounts["opa"])
	volumes := map[string]corev1.VolumeSource{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = volume.VolumeSource
	}
	assert.Equal(t, "token", volumes["opa"].Secret.SecretName)
	assert.Equal(t, corev1.StorageMediumDefault, volumes["tmp"].EmptyDir.Medium)

	pod = only[appsv1.Deployment](t, rendered(t, nil), "Deployment").Spec.Template.Spec
	for _, volume := range pod.Volumes {
		assert.NotEqual(t, "opa", volume.Name)
		if volume.Name == "tmp" {
			assert.Equal(t, corev1.StorageMediumMemory, volume.EmptyDir.Medium)
		}
	}
	for says, wrong := range map[string]values{
		"bundels":  {"bundels": values{}},
		"resource": {"bundles": values{"acme": values{"service": "control"}}},
		"a/b":      {"bundles": values{"a/b": values{"service": "control", "resource": "x"}}},
		"path":     {"plugins": values{"file_logger": values{}}},
	} {
		_, err := controlplane.Render(chart, values{"config": values{"opa": wrong}})
		require.ErrorContains(t, err, says)
	}
}
