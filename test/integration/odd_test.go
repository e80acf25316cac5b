package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// odd returns the manifests of the folder odd, in a namespace.
func odd(t *testing.T, namespace string) (out []manifest.Object) {
	t.Helper()
	files, err := filepath.Glob("odd/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		objects, err := manifest.Parse(file, raw)
		require.NoError(t, err)
		for _, object := range objects {
			host := strings.ToLower(strings.ReplaceAll(object.GetName()+object.GetGenerateName(), "_", "-")) + ".odd.test"
			raw, err := object.MarshalJSON()
			require.NoError(t, err)
			require.NoError(t, object.UnmarshalJSON([]byte(strings.ReplaceAll(string(raw), "HOST", host))))
			if object.GetKind() != "Namespace" && object.GetKind() != "EgressPolicy" {
				object.SetNamespace(namespace)
			}
			out = append(out, object)
		}
	}
	require.Greater(t, len(out), 90)
	return append(out, huge(t, namespace)...)
}

// huge returns what is larger than anybody takes.
func huge(t *testing.T, namespace string) (out []manifest.Object) {
	t.Helper()
	hosts := make([]any, 5000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host-%d.huge.odd.test", i)
	}
	for name, change := range map[string]func(of *unstructured.Unstructured){
		"many-hosts": func(of *unstructured.Unstructured) { of.Object["spec"].(map[string]any)["hosts"] = hosts },
		"long-host": func(of *unstructured.Unstructured) {
			of.Object["spec"].(map[string]any)["hosts"] = []any{strings.Repeat("a.", 500) + "odd.test"}
		},
		"annotations": func(of *unstructured.Unstructured) {
			of.SetAnnotations(map[string]string{"a": strings.Repeat("a", 300_000)})
		},
		"long-name": func(of *unstructured.Unstructured) { of.SetName(strings.Repeat("a", 300)) },
	} {
		of := entry(t, "v1", namespace, name, strings.ReplaceAll(hostSpec, "HOST", name+".odd.test"))
		change(of)
		out = append(out, manifest.Object{Unstructured: of, File: "huge"})
	}
	return out
}

// made is a name that somebody made up.
var made = regexp.MustCompile(`-[a-z0-9]{5}"`)

// TestTheAPIServerAnswersOddManifestsAsEgressctlDoes: what is wrong by its schema, by the rules of its kind, by a guard or by the
// webhook, where it is created and where it takes the place of another.
func TestTheAPIServerAnswersOddManifestsAsEgressctlDoes(t *testing.T) {
	t.Parallel()
	guarded(t)
	ns := namespace(t, injected)
	c, _ := author(t)
	alike(t, func() {
		for _, object := range odd(t, ns) {
			_ = c.Create(t.Context(), object.DeepCopy(), client.DryRunAll, strict) // what both say is the same
		}
	})
	was := standing(t, ns)
	alike(t, func() {
		for _, object := range odd(t, ns) {
			before := was[object.GetKind()]
			if before == nil || object.GetAPIVersion() != before.GetAPIVersion() || object.GetGenerateName() != "" {
				continue
			}
			object.SetName(before.GetName())
			if object.GetUID() == "" {
				object.SetResourceVersion(get(t, before).GetResourceVersion())
			}
			_ = c.Update(t.Context(), object.DeepCopy(), client.DryRunAll, strict)
		}
	})
}

// standing stores an object of each kind that another may take the place of.
func standing(t *testing.T, namespace string) map[string]*unstructured.Unstructured {
	t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for i, text := range []string{
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: standing}\nspec: {hosts: [standing.odd.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}",
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: standing}\nspec: {hosts: [standing.odd.test], tls: [{match: [{sniHosts: [standing.odd.test]}], route: [{destination: {host: standing.odd.test, port: {number: 443}}}]}]}",
		"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: standing}\nspec: {host: standing.odd.test}",
		"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: standing}\nspec: {}",
		"apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: odd-standing}\nspec: {policy: no-wildcards, enforcement: Audit, match: {namespaceSelector: {matchLabels: {odd: none}}}}",
	} {
		object := object(t, namespace, text)
		require.Eventually(t, func() bool {
			err := shared.Client.Create(t.Context(), object.DeepCopy())
			return err == nil || apierrors.IsAlreadyExists(err)
		}, within, 100*time.Millisecond, fmt.Sprint(i))
		out[object.GetKind()] = object
		t.Cleanup(func() {
			assert.NoError(t, client.IgnoreNotFound(shared.Client.Delete(context.WithoutCancel(t.Context()), object.DeepCopy())))
		})
	}
	eventually(t, func() bool { return ready(get(t, out["ServiceEntry"]), "True") }, "ExitReady")
	return out
}
