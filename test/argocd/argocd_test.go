package argocd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	synccommon "github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/sync/resource"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// namespace is that of Argo CD's own settings.
const namespace = "argocd"

// argoCD is the part of Argo CD's application controller that looks at a cluster.
type argoCD struct {
	config    *rest.Config
	clientset *kubernetes.Clientset
	dynamic   dynamic.Interface
	cluster   cache.ClusterCache
	kubectl   *kube.KubectlCmd
	tracking  argo.ResourceTracking
	// overrides are what argocd-cm says.
	overrides map[string]v1alpha1.ResourceOverride
}

// newArgoCD returns one with the settings of the recipe.
func newArgoCD(ctx context.Context, kubeconfig string) (*argoCD, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400 // about as Argo CD has them
	config.WarningHandler = rest.NoWarnings{}
	out := &argoCD{config: config, tracking: argo.NewResourceTracking(), kubectl: &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}}
	if out.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if out.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if out.overrides, err = out.settings(ctx); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	out.cluster = cache.NewClusterCache(config, cache.SetLogr(logr.Discard()), cache.SetKubectl(out.kubectl),
		cache.SetPopulateResourceInfoHandler(func(un *unstructured.Unstructured, root bool) (any, bool) {
			app := out.appOf(un)
			if !root {
				app = ""
			}
			return app, app != "" || un.GetKind() == kube.CustomResourceDefinitionKind
		}))
	return out, out.cluster.EnsureSynced()
}

// settings stores the recipe's ConfigMap and returns what Argo CD reads of it.
func (a *argoCD) settings(ctx context.Context) (map[string]v1alpha1.ResourceOverride, error) {
	labels := map[string]string{"app.kubernetes.io/part-of": "argocd"}
	given := &corev1.ConfigMap{}
	if err := shown("argocd-cm.yaml", given); err != nil {
		return nil, err
	}
	given.Labels = labels
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "argocd-secret", Labels: labels}, Data: map[string][]byte{"server.secretkey": []byte("test")}}
	_, first := a.clientset.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	_, second := a.clientset.CoreV1().ConfigMaps(namespace).Create(ctx, given, metav1.CreateOptions{})
	_, third := a.clientset.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{})
	if err := errors.Join(first, second, third); err != nil {
		return nil, err
	}
	return settings.NewSettingsManager(ctx, a.clientset, namespace).GetResourceOverrides()
}

func (a *argoCD) appOf(un *unstructured.Unstructured) string {
	return a.tracking.GetAppName(un, common.LabelKeyAppInstance, v1alpha1.TrackingMethodAnnotation, "")
}

// application is one, and what it has in Git.
type application struct {
	*v1alpha1.Application
	of      *argoCD
	objects []*unstructured.Unstructured
}

// application returns one of which nothing is said but where it goes.
func (a *argoCD) application(name, namespace string, objects []*unstructured.Unstructured) *application {
	out := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Name: name}}
	out.Spec.Destination.Namespace = namespace
	return &application{out, a, objects}
}

// reconciliation is what is in Git beside what is stored, pair by pair; what only one has is nil in the other.
func (a *application) reconciliation() (sync.ReconciliationResult, error) {
	var targets []*unstructured.Unstructured
	for _, object := range a.objects {
		target := object.DeepCopy()
		namespaced, err := a.of.cluster.IsNamespaced(target.GroupVersionKind().GroupKind())
		if err == nil && namespaced && target.GetNamespace() == "" {
			target.SetNamespace(a.Spec.Destination.Namespace)
		}
		if target.GetKind() != kube.CustomResourceDefinitionKind {
			if err := a.of.tracking.SetAppInstance(target, common.LabelKeyAppInstance, a.Name, a.Spec.Destination.Namespace, v1alpha1.TrackingMethodAnnotation, ""); err != nil {
				return sync.ReconciliationResult{}, err
			}
		}
		targets = append(targets, target)
	}
	live, err := a.of.cluster.GetManagedLiveObjs(targets, func(r *cache.Resource) bool { return r.Info == a.Name })
	if err != nil {
		return sync.ReconciliationResult{}, err
	}
	return sync.Reconcile(targets, live, a.Spec.Destination.Namespace, a.of.cluster), nil
}

// compare is CompareAppState of the application controller: what is out of sync, by kind and name, and how.
func (a *application) compare() (map[string]string, error) {
	pairs, err := a.reconciliation()
	if err != nil {
		return nil, err
	}
	builder := argodiff.NewDiffConfigBuilder().WithDiffSettings(a.Spec.IgnoreDifferences, a.of.overrides, false, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(v1alpha1.TrackingMethodAnnotation)).WithNoCache().
		WithIgnoreMutationWebhook(!a.compares("IncludeMutationWebhook=true")).
		WithGVKParser(a.of.cluster.GetGVKParser()).WithManager(common.ArgoCDSSAManager).
		WithServerSideDiff(a.compares("ServerSideDiff=true")).WithStructuredMergeDiff(a.syncs("ServerSideApply=true"))
	if a.compares("ServerSideDiff=true") {
		applier, cleanup, err := kube.ManageServerSideDiffDryRuns(a.of.config, a.of.cluster.GetOpenAPISchema(), tracing.NopTracer{}, logr.Discard(), nil)
		if err != nil {
			return nil, err
		}
		defer cleanup()
		builder.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier))
	}
	config, err := builder.Build()
	if err != nil {
		return nil, err
	}
	results, err := argodiff.StateDiffs(pairs.Live, pairs.Target, config)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, result := range results.Diffs {
		switch live, target := pairs.Live[i], pairs.Target[i]; {
		case target == nil:
			out[named(live)] = "to be pruned"
		case live == nil:
			out[named(target)] = "missing"
		case result.Modified:
			out[named(target)] = fmt.Sprintf("is %s, and would be %s", result.NormalizedLive, result.PredictedLive)
		}
	}
	return out, nil
}

func (a *application) compares(option string) bool {
	return resource.HasAnnotationOption(a, common.AnnotationCompareOptions, option)
}

func (a *application) syncs(option string) bool {
	return a.Spec.SyncPolicy != nil && a.Spec.SyncPolicy.SyncOptions.HasOption(option)
}

// sync is SyncAppState of the application controller, until it is done. It prunes.
func (a *application) sync(ctx context.Context) error {
	return a.until(ctx, func(phase synccommon.OperationPhase, _ string) bool { return phase.Completed() })
}

// begin is sync until the garbage collector has something to do, which is not there: objects that are pruned wait for it.
func (a *application) begin(ctx context.Context) error {
	return a.until(ctx, func(_ synccommon.OperationPhase, message string) bool {
		return strings.Contains(message, "waiting for deletion")
	})
}

func (a *application) until(_ context.Context, done func(phase synccommon.OperationPhase, message string) bool) error {
	phase, message, results, began := synccommon.OperationRunning, "", []synccommon.ResourceSyncResult{}, metav1.Now()
	for deadline := time.Now().Add(2 * within); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		pairs, err := a.reconciliation()
		if err != nil {
			return err
		}
		step, cleanup, err := sync.NewSyncContext("revision", pairs, a.of.config, a.of.config, a.of.kubectl, a.Spec.Destination.Namespace, a.of.cluster.GetOpenAPISchema(),
			sync.WithLogr(logr.Discard()), sync.WithHealthOverride(lua.ResourceHealthOverrides(a.of.overrides)), sync.WithInitialState(phase, message, results, began),
			sync.WithOperationSettings(false, true, false, true), sync.WithServerSideApply(a.syncs("ServerSideApply=true")), sync.WithServerSideApplyManager(common.ArgoCDSSAManager),
			sync.WithClientSideApplyMigration(true, synccommon.DefaultClientSideApplyMigrationManager))
		if err != nil {
			return err
		}
		step.Sync()
		phase, message, results = step.GetState()
		cleanup()
		if done(phase, message) {
			return failure(phase, message, results)
		}
	}
	return fmt.Errorf("sync does not end: %s", message)
}

// failure says what has failed, and why.
func failure(phase synccommon.OperationPhase, message string, results []synccommon.ResourceSyncResult) error {
	if phase == synccommon.OperationSucceeded || phase == synccommon.OperationRunning {
		return nil
	}
	err := fmt.Errorf("sync is %s: %s", phase, message)
	for _, result := range results {
		if result.Status == synccommon.ResultCodeSyncFailed || result.HookPhase != synccommon.OperationSucceeded {
			err = errors.Join(err, fmt.Errorf("%s %s: %s", result.ResourceKey.Kind, result.ResourceKey.Name, result.Message))
		}
	}
	return err
}

// deleted deletes what the application has stored, as that of an Application does with the finalizer resources-finalizer.
func (a *application) deleted(ctx context.Context) error {
	pairs, err := a.reconciliation()
	if err != nil {
		return err
	}
	policy := metav1.DeletePropagationForeground
	for _, live := range pairs.Live {
		if live == nil || resource.HasAnnotationOption(live, synccommon.AnnotationSyncOptions, synccommon.SyncOptionDisableDeletion) {
			continue
		}
		err := a.of.kubectl.DeleteResource(ctx, a.of.config, live.GroupVersionKind(), live.GetName(), live.GetNamespace(), metav1.DeleteOptions{PropagationPolicy: &policy})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// healthOf returns what Argo CD says of an object that is stored.
func (a *argoCD) healthOf(live *unstructured.Unstructured) (*health.HealthStatus, error) {
	return health.GetResourceHealth(live, lua.ResourceHealthOverrides(a.overrides))
}

func named(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetName()
}
