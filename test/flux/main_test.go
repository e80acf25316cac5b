// Package flux has Flux's own code reconcile the chart, and what tenants write, on a real kube-apiserver with the webhook serving.
package flux

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// within bounds every wait for what a controller or a watch does.
const within = 60 * time.Second

// kustomizeController is the field manager of Flux, group the group of its labels.
const (
	kustomizeController = "kustomize-controller"
	group               = "kustomize.toolkit.fluxcd.io"
)

var (
	// shared is the one control plane of the package. Its chart was installed by Flux, as it is in chart.
	shared *controlplane.ControlPlane
	chart  []*unstructured.Unstructured
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := filepath.Abs("../..")
	if err == nil {
		err = controlplane.BuildWebhook(root)
	}
	if err == nil {
		options := controlplane.InTree(root, "flux")
		options.Values, options.Installer = values(), install
		shared, err = controlplane.Start(context.Background(), options)
	}
	if err == nil {
		shared.Config.QPS = -1 // as Flux has it
		shared.Client, err = client.New(shared.Config, client.Options{Scheme: shared.Client.Scheme()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// values have a second gateway whose Service nobody makes, and suspend whatever policies say.
func values() map[string]any {
	gateway := func(name, service, istio string, clients map[string]any) map[string]any {
		return controlplane.GatewayValues(name, controlplane.GatewayNamespace, service, istio, clients)
	}
	return map[string]any{"suspend": map[string]any{"maxShare": 1}, "config": map[string]any{"gateways": []any{
		gateway("missing", "missing", "missing", map[string]any{"matchLabels": map[string]any{"egress": "missing"}}),
		gateway("default", controlplane.GatewayService, "egressgateway", map[string]any{}),
	}}}
}

// install has Flux apply the chart, as a Kustomization of its own does.
func install(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	chart = objects
	manager, err := managerOf(c)
	if err != nil {
		return err
	}
	manager.SetOwnerLabels(chart, controlplane.Release, "flux-system")
	_, err = manager.ApplyAllStaged(ctx, copies(chart), applyOptions())
	return err
}

// managerOf returns what kustomize-controller reconciles by, which looks at what is ready as health checks say.
func managerOf(c client.Client, checks ...kustomize.CustomHealthCheck) (*ssa.ResourceManager, error) {
	reader, err := cel.NewStatusReader(checks)
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{CustomStatusReaders: []engine.StatusReader{reader(c.RESTMapper())}})
	manager := ssa.NewResourceManager(c, poller, ssa.Owner{Field: kustomizeController, Group: group})
	manager.SetConcurrency(4)
	return manager, nil
}

// applyOptions are those of kustomize-controller: what kubectl has written is Flux's own from then on.
func applyOptions() ssa.ApplyOptions {
	out := ssa.DefaultApplyOptions()
	out.WaitInterval = 100 * time.Millisecond
	out.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: kustomizeController, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return out
}

func copies(of []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	for _, object := range of {
		out = append(out, object.DeepCopy())
	}
	return out
}

// kustomization is what a tenant has in Git, as Flux knows it.
type kustomization struct {
	name    string
	manager *ssa.ResourceManager
	objects []*unstructured.Unstructured
}

// tenant returns the Kustomization of a namespace of its own, which has labels, with the health checks of the recipe.
func tenant(t *testing.T, labels map[string]string) *kustomization {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-", Labels: labels}}
	require.NoError(t, shared.Client.Create(t.Context(), namespace))
	manager, err := managerOf(shared.Client, checks(t)...)
	require.NoError(t, err)
	return &kustomization{name: namespace.Name, manager: manager}
}

// says has other manifests in Git from now on. HOST stands for a host of the namespace's own.
func (k *kustomization) says(t *testing.T, manifests ...string) {
	t.Helper()
	text := strings.ReplaceAll(strings.Join(manifests, "\n---\n"), "HOST", k.host())
	objects, err := controlplane.Decode(strings.NewReader(text))
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() != "EgressPolicy" {
			object.SetNamespace(k.name)
		}
	}
	k.manager.SetOwnerLabels(objects, k.name, "flux-system")
	k.objects = objects
}

func (k *kustomization) host() string { return k.name + ".example.com" }

// reconcile returns what Flux did to each object.
func (k *kustomization) reconcile(t *testing.T) (map[string]ssa.Action, error) {
	t.Helper()
	return actions(k.manager.ApplyAllStaged(t.Context(), copies(k.objects), applyOptions()))
}

func actions(of *ssa.ChangeSet, err error) (map[string]ssa.Action, error) {
	out := map[string]ssa.Action{}
	if of != nil {
		for _, entry := range of.Entries {
			out[entry.Subject] = entry.Action
		}
	}
	return out, err
}
