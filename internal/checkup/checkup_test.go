package checkup

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/egress-governor/egress-governor/internal/config"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

const governs = `apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [istio-system]}]}
gateways:
- name: default
  service: istio-egressgateway.istio-system.svc.cluster.local
  selector: {istio: egressgateway}
  ports: {http: 80, tls: 443}
`

// plurals are the resources of kinds in testdata, where they are not the kind with an s.
var plurals = map[string]string{"ServiceEntry": "serviceentries", "EgressPolicy": "egresspolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}

func resourceOf(object *unstructured.Unstructured) schema.GroupResource {
	kind := object.GroupVersionKind()
	plural := plurals[kind.Kind]
	if plural == "" {
		plural = string(bytes.ToLower([]byte(kind.Kind))) + "s"
	}
	return schema.GroupResource{Group: kind.Group, Resource: plural}
}

// sound is a cluster in which nothing is wrong.
func sound(t *testing.T) *Snapshot {
	t.Helper()
	configuration, err := config.Parse([]byte(governs))
	require.NoError(t, err)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	out := &Snapshot{
		Now: noon, Version: "v1.34.1", Release: Release{"platform", "governor"}, Configuration: configuration, Mesh: mesh,
		Objects: map[schema.GroupResource][]*unstructured.Unstructured{}, Unread: map[schema.GroupResource]error{},
		MeshIs: MeshSettings{RootNamespace: "istio-system"}, Proxies: []Proxy{{ID: "gateway-1.istio-system"}},
	}
	raw, err := os.ReadFile("testdata/sound.yaml")
	require.NoError(t, err)
	for decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(raw)); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		put(t, out, object)
	}
	for _, kind := range []string{"egresspolicies.egress-governor.io v1alpha1", "serviceentries.networking.istio.io v1", "virtualservices.networking.istio.io v1", "destinationrules.networking.istio.io v1", "gateways.networking.istio.io v1", "sidecars.networking.istio.io v1"} {
		var name, version string
		_, err := fmt.Sscan(kind, &name, &version)
		require.NoError(t, err)
		put(t, out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"versions": []any{map[string]any{"name": version, "served": true}}}, "status": map[string]any{"storedVersions": []any{version}},
		}})
	}
	for _, resource := range []schema.GroupResource{guards, bindings} {
		for _, object := range out.Objects[resource] {
			of := object.DeepCopy()
			of.SetName("egress-" + of.GetName())
			if resource == bindings {
				require.NoError(t, unstructured.SetNestedField(of.Object, "egress-governor-entries", "spec", "policyName"))
			}
			out.Guards = append(out.Guards, of)
		}
	}
	certified(t, out, noon.AddDate(1, 0, 0), "governor-webhook.platform.svc")
	out.Answers = Ask(Probes("payments"), func(probe Probe) (*unstructured.Unstructured, error) {
		if probe.Refused {
			return nil, errors.New(`admission webhook "mutate.egress-governor.io" denied the request: no`)
		}
		stored := probe.Object.DeepCopy()
		return stored, unstructured.SetNestedSlice(stored.Object, []any{map[string]any{"address": "istio-egressgateway.istio-system.svc.cluster.local"}}, "spec", "endpoints")
	})
	return out
}

func put(t *testing.T, in *Snapshot, object *unstructured.Unstructured) {
	t.Helper()
	raw, err := object.MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, object.UnmarshalJSON(raw), "numbers as the API's own decoder gives them")
	in.Objects[resourceOf(object)] = append(in.Objects[resourceOf(object)], object)
}

// certified gives a cluster a certificate of its own authority.
func certified(t *testing.T, in *Snapshot, until time.Time, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: noon.AddDate(-1, 0, 0), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	encoded := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	in.Objects[secrets] = nil
	put(t, in, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": "platform", "name": "governor-cert"}, "data": map[string]any{"tls.crt": encoded},
	}})
	for _, resource := range []schema.GroupResource{mutating, validating} {
		eachWebhook(in.Objects[resource][0], func(webhook map[string]any) { webhook["clientConfig"].(map[string]any)["caBundle"] = encoded })
	}
}

func eachWebhook(of *unstructured.Unstructured, change func(webhook map[string]any)) {
	for _, item := range of.Object["webhooks"].([]any) {
		change(item.(map[string]any))
	}
}

// set changes a field of the one object of a resource that has a name.
func set(t *testing.T, in *Snapshot, resource schema.GroupResource, name string, value any, fields ...string) {
	t.Helper()
	i := slices.IndexFunc(in.Objects[resource], func(object *unstructured.Unstructured) bool { return object.GetName() == name })
	require.GreaterOrEqual(t, i, 0, name)
	require.NoError(t, unstructured.SetNestedField(in.Objects[resource][i].Object, value, fields...))
}

// drop takes an object away.
func drop(t *testing.T, in *Snapshot, resource schema.GroupResource, name string) {
	t.Helper()
	before := len(in.Objects[resource])
	in.Objects[resource] = slices.DeleteFunc(in.Objects[resource], func(object *unstructured.Unstructured) bool { return object.GetName() == name })
	require.Less(t, len(in.Objects[resource]), before, name)
}

// codes returns what is found, as check, severity and code.
func codes(of *Report) (out []string) {
	for _, check := range of.Checks {
		for _, finding := range check.Findings {
			if one := fmt.Sprintf("%s %s %s", check.Name, finding.Severity, finding.Code); !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out
}

// TestASoundInstallationIsSound: everything was looked at, and nothing found.
func TestASoundInstallationIsSound(t *testing.T) {
	t.Parallel()
	found := Run(sound(t), nil)
	assert.Empty(t, codes(found))
	for _, check := range found.Checks {
		assert.Equal(t, Sound, check.Status, "%s: %v", check.Name, check.NotLookedAt)
	}
	assert.Equal(t, 0, found.Exit(true))
	found = Run(sound(t), []string{"rights"})
	assert.Equal(t, Skipped, found.Checks[len(found.Checks)-1].Status)
}

// TestWhatCouldNotBeReadIsNeverSound, in any check that needs it, and the reason is said.
func TestWhatCouldNotBeReadIsNeverSound(t *testing.T) {
	t.Parallel()
	for _, check := range checks {
		for _, resource := range check.needs {
			s := sound(t)
			s.Unread[resource] = fmt.Errorf("%s: forbidden", resource)
			result := check.of(s)
			assert.Equal(t, Unknown, result.Status, "%s without %s", check.name, resource)
			assert.Contains(t, result.NotLookedAt, resource.String()+": forbidden")
		}
		if check.configured {
			s := sound(t)
			s.Configuration, s.Mesh, s.Unconfigured = nil, nil, "none is there"
			assert.Equal(t, Unknown, check.of(s).Status, check.name)
		}
	}
	for name, edit := range map[string]func(s *Snapshot){
		"exits":       func(s *Snapshot) { s.Unread[namespaces], s.Objects[namespaces] = errors.New("forbidden"), nil },
		"gateways":    func(s *Snapshot) { s.ProblemsUnread = errors.New("forbidden") },
		"mesh":        func(s *Snapshot) { s.MeshUnread = errors.New("forbidden") },
		"ungoverned":  func(s *Snapshot) { s.EntriesUnread = errors.New("forbidden") },
		"proxies":     func(s *Snapshot) { s.ProxiesUnread = errors.New("forbidden") },
		"admission":   func(s *Snapshot) { s.Answers = nil },
		"webhooks":    func(s *Snapshot) { s.Unread[guards] = errors.New("forbidden") },
		"versions":    func(s *Snapshot) { s.Version = "v0.0.0-master" },
		"certificate": func(s *Snapshot) { s.Objects[deployments] = nil },
	} {
		s := sound(t)
		edit(s)
		found := Run(s, nil)
		i := slices.Index(Names(), name)
		assert.Equal(t, Unknown, found.Checks[i].Status, name)
		assert.NotZero(t, found.Exit(false), name)
	}
}

// TestExitCodes: errors count more than what could not be looked at.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 0, (&Report{Warnings: 1}).Exit(false))
	assert.Equal(t, 1, (&Report{Warnings: 1}).Exit(true))
	assert.Equal(t, 1, (&Report{Errors: 1, Unknown: 1}).Exit(false))
	assert.Equal(t, 2, (&Report{Unknown: 1, Warnings: 1}).Exit(false))
}
