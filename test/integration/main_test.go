// Package integration tests what is stored and who is refused, on a real kube-apiserver with the rendered chart's own
// webhook configurations and the real webhook under its own rights.
package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// within bounds every wait for what a controller or a watch does.
const within = 20 * time.Second

// shared is the one control plane of the package; tests keep apart by namespaces and hosts.
var shared *controlplane.ControlPlane

// beside is what egressctl says in it of all that tests write.
var beside *alongside

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := controlplane.BuildWebhook(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	options := controlplane.InTree(root, "integration")
	options.Values, options.GatewayNamespaces, options.AuditWrites = gateways(), []string{vaultNamespace}, true
	if shared, err = controlplane.Start(context.Background(), options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for service, namespace := range map[string]string{pciService: controlplane.GatewayNamespace, vaultService: vaultNamespace} {
		if err := shared.CreateGateway(context.Background(), namespace, service, service); err != nil {
			fmt.Fprintln(os.Stderr, errors.Join(err, shared.Stop()))
			return 1
		}
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	if beside, err = compared(ctx, shared); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, shared.Stop()))
		return 1
	}
	code := m.Run()
	end() // an API server does not stop while somebody watches
	if differences() > 0 {
		code = 1
	}
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// pciService is the name of a second gateway's Service, beside the first; namespaces labelled egress=pci leave by it.
const pciService = "pci-egress"

// vaultService is the name of a third one's, by mutual TLS, in vaultNamespace; namespaces labelled egress=vault leave by it.
const (
	vaultService   = "vault-egress"
	vaultNamespace = "vault-egress"
)

// waypointNamespace has the waypoint of the second gateway.
const waypointNamespace = "waypoints"

// gateways are values of the chart with a second egress gateway in the namespace of the first, and one elsewhere.
func gateways() map[string]any {
	labelled := func(value string) map[string]any {
		return map[string]any{"matchLabels": map[string]any{"egress": value}}
	}
	vault := controlplane.GatewayValues("vault", vaultNamespace, vaultService, vaultService, labelled("vault"))
	vault["transport"] = "MutualTLS"
	pci := controlplane.GatewayValues("pci", controlplane.GatewayNamespace, pciService, pciService, labelled("pci"))
	for _, resolving := range []map[string]any{vault, pci} {
		resolving["wildcards"] = "Resolve"
	}
	// For namespaces in ambient mode alone.
	pci["waypoint"] = map[string]any{"name": "waypoint", "namespace": waypointNamespace}
	// However many entries tests store, no more than five are suspended at once.
	return map[string]any{"suspend": map[string]any{"maxShare": 0}, "guards": map[string]any{"injection": map[string]any{"allowedServiceAccounts": []any{"jobs/migrate"}}}, "config": map[string]any{"meshCIDRs": []any{"10.77.0.0/16"}, "clusterCIDRs": []any{"10.96.0.0/12"}, "gateways": []any{
		pci, vault,
		controlplane.GatewayValues("default", controlplane.GatewayNamespace, controlplane.GatewayService, "egressgateway", map[string]any{}),
	}}}
}

// namespace makes a namespace of its own for a test.
func namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	require.NoError(t, shared.Client.Create(t.Context(), object))
	return object.Name
}

// object reads one manifest; the namespace is put in where it names none.
func object(t *testing.T, namespace, manifest string) *unstructured.Unstructured {
	t.Helper()
	objects, err := controlplane.Decode(strings.NewReader(manifest))
	require.NoError(t, err)
	require.Len(t, objects, 1)
	if objects[0].GetNamespace() == "" && objects[0].GetKind() != "EgressPolicy" {
		objects[0].SetNamespace(namespace)
	}
	return objects[0]
}

// entry returns a ServiceEntry of a served version.
func entry(t *testing.T, version, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, namespace, fmt.Sprintf("apiVersion: networking.istio.io/%s\nkind: ServiceEntry\nmetadata: {name: %s}\nspec: %s", version, name, spec))
}

// get returns the stored form of an object.
func get(t *testing.T, of client.Object) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(of.GetObjectKind().GroupVersionKind())
	require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKeyFromObject(of), out))
	return out
}

// warnings collects the warnings of a request.
type warnings struct{ texts []string }

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) { w.texts = append(w.texts, text) }

// warned returns a client and what it was warned of.
func warned(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	return telling(t, shared)
}

// telling returns a client of a control plane and what it was warned of.
func telling(t *testing.T, of *controlplane.ControlPlane) (client.Client, *warnings) {
	t.Helper()
	heard := &warnings{}
	config := rest.CopyConfig(of.Config)
	config.WarningHandler = heard
	out, err := client.New(config, client.Options{Scheme: of.Client.Scheme()})
	require.NoError(t, err)
	return out, heard
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, within, 50*time.Millisecond, what)
}

// ready says whether a ServiceEntry's ExitReady condition has a status, as the entry is by now.
func ready(entry *unstructured.Unstructured, status string) bool {
	return controlplane.Met(entry, "ExitReady", status)
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}
