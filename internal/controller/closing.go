package controller

import (
	"context"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

var (
	sidecarKind       = istio("Sidecar")
	networkPolicyKind = networkpolicyv1.SchemeGroupVersion.WithKind("NetworkPolicy")
)

// Namespaces is what the controller that closes governed namespaces asks of the cluster.
type Namespaces interface {
	egress.View
	OnChange(listener func(registry.Change))
}

// Closing keeps governed namespaces closed to what no entry names: by a Sidecar where the mesh would let it out, and by a
// NetworkPolicy. Only the leader runs it.
type Closing struct {
	mesh       *egress.Mesh
	namespaces Namespaces
	// fence makes the NetworkPolicies, nil where there are to be none.
	fence      *hop.Fence
	meshConfig types.NamespacedName
	// synced says whether the namespaces are all known.
	synced  func() bool
	objects owned
	// sidecars has those of everybody, as slimSidecar keeps them.
	sidecars client.Reader
	queue    workqueue.TypedRateLimitingInterface[string]

	// looked says that the mesh configuration was read; settings are nil where it is not there.
	looked   bool
	settings *meshSettings
	// root is the Sidecar of Istio's root namespace, nil for none.
	root *unstructured.Unstructured

	mu sync.Mutex
	// open are the Sidecars that keep their namespaces open, by those; unclosed are the objects of ours that close some, and could not be
	// written.
	open     map[string][]string
	unclosed map[string]bool
}

// everywhere is the key of the work on all namespaces.
const everywhere = ""

// follow enqueues the namespaces that begin or cease to be governed.
func (c *Closing) follow(_ context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
	c.queue = queue
	queue.Add(everywhere)
	c.namespaces.OnChange(func(change registry.Change) {
		for _, namespace := range change.Namespaces {
			queue.Add(namespace)
		}
	})
	return nil
}

// Reconcile implements reconcile.TypedReconciler. The key is a namespace, or everywhere.
func (c *Closing) Reconcile(ctx context.Context, namespace string) (reconcile.Result, error) {
	if namespace == everywhere {
		return c.look(ctx)
	}
	if !c.looked {
		// What is known now is not all; look comes back to it.
		return reconcile.Result{}, nil
	}
	err := errors.Join(c.sidecar(ctx, namespace), c.networkPolicy(ctx, namespace))
	switch {
	case terminating(err):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: again}, nil
	}
	return reconcile.Result{}, err
}

// terminating says whether something could not be written since its namespace goes.
func terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// look reads the mesh configuration, again every minute, and looks at all governed namespaces under it.
func (c *Closing) look(ctx context.Context) (reconcile.Result, error) {
	if !c.synced() {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	settings, err := meshSettingsOf(ctx, c.objects.live, c.meshConfig)
	if err != nil {
		return reconcile.Result{}, err
	}
	c.settings = settings
	if c.root, err = c.everybodys(ctx); err != nil {
		return reconcile.Result{}, err
	}
	c.looked = true
	governed := c.namespaces.Governed()
	for i := range governed.Len() {
		namespace, _ := governed.At(i)
		c.queue.Add(namespace)
	}
	for _, namespace := range c.left(ctx) {
		c.queue.Add(namespace)
	}
	return reconcile.Result{RequeueAfter: interval}, nil
}

// left returns the namespaces with objects of ours: they may be governed no more.
func (c *Closing) left(ctx context.Context) (out []string) {
	for _, kind := range c.kinds() {
		list := emptyList(kind)
		if err := c.objects.stored.List(ctx, list); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Objects of namespaces that are not governed may be left")
		}
		for i := range list.Items {
			if hop.IsClosing(&list.Items[i]) {
				out = append(out, list.Items[i].GetNamespace())
			}
		}
	}
	return out
}

// kinds are those that are kept.
func (c *Closing) kinds() (out []schema.GroupVersionKind) {
	if c.mesh.Block {
		out = append(out, sidecarKind)
	}
	if c.fence != nil {
		out = append(out, networkPolicyKind)
	}
	return out
}

// closes says whether a namespace is to be closed. Those of Istio itself never are: a Sidecar there would be everybody's, and
// istiod must reach the API server.
func (c *Closing) closes(namespace string) bool {
	_, governed := c.namespaces.Governed().Index(namespace)
	return governed && namespace != c.mesh.IstioNamespace && (c.settings == nil || namespace != c.settings.RootNamespace)
}

func (c *Closing) networkPolicy(ctx context.Context, namespace string) error {
	if c.fence == nil {
		return nil
	}
	if c.closes(namespace) {
		err := c.objects.ensure(ctx, c.fence.NetworkPolicy(c.mesh, c.namespaces, namespace))
		c.setUnclosed(networkPolicyKind, namespace, err)
		return err
	}
	c.setUnclosed(networkPolicyKind, namespace, nil)
	return c.objects.drop(ctx, networkPolicyKind, types.NamespacedName{Namespace: namespace, Name: hop.ClosingName}, always)
}
