package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// interval is how often the leader looks again.
const interval = time.Minute

// Watch looks at start and every minute, and tells of each problem once, when it comes and when it goes: in the log, by
// an Event, and by the metric egress_governor_problem for as long as it lasts. The leader alone runs it.
type Watch struct {
	// Mesh names the gateways.
	Mesh *egress.Mesh
	// Live reads from the API server.
	Live client.Reader
	// MeshConfig is Istio's ConfigMap.
	MeshConfig types.NamespacedName
	// Recorder writes Events about Regarding.
	Recorder  events.EventRecorder
	Regarding runtime.Object
	// Metrics takes the gauge.
	Metrics prometheus.Registerer
	// Status writes the condition Ready of the Gateway objects we keep.
	Status client.StatusClient

	gauge *prometheus.GaugeVec
	known map[Problem]bool
}

// Start implements manager.Runnable. It returns when the context ends.
func (w *Watch) Start(ctx context.Context) error {
	w.known = map[Problem]bool{}
	w.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "egress_governor_problem", Help: "1 for each problem that keeps calls from the egress gateway, or lets them out beside it.",
	}, []string{"code"})
	if err := w.Metrics.Register(w.gauge); err != nil {
		return err
	}
	wait.UntilWithContext(ctx, w.look, interval)
	return nil
}

func (w *Watch) look(ctx context.Context) {
	found, err := w.problems(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Preflight is incomplete")
	} else if err := w.write(ctx, found); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Status of the Gateways is not written")
	}
	if err == nil || len(found) > 0 {
		w.tell(ctx, found)
	}
}

// problems looks at everything. With an error come the problems that were found all the same.
func (w *Watch) problems(ctx context.Context) (out []Problem, err error) {
	var errs []error
	for _, gw := range w.Mesh.Gateways {
		found, err := w.gateway(ctx, gw)
		out, errs = append(out, found...), append(errs, err)
	}
	config := &corev1.ConfigMap{}
	switch err := w.Live.Get(ctx, w.MeshConfig, config); {
	case apierrors.IsNotFound(err): // Istio is not here, or elsewhere.
	case err != nil:
		errs = append(errs, fmt.Errorf("mesh configuration: %w", err))
	default:
		found, err := Outbound(config.Data["mesh"])
		out, errs = append(out, found...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func (w *Watch) gateway(ctx context.Context, gw egress.Gateway) ([]Problem, error) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace(), Name: gw.ServiceName()}}
	if err := w.Live.Get(ctx, client.ObjectKeyFromObject(service), service); apierrors.IsNotFound(err) {
		service = nil
	} else if err != nil {
		return nil, fmt.Errorf("egress gateway %q: %w", gw.Name, err)
	}
	out := Service(gw, service)
	pods := &corev1.PodList{}
	if err := w.Live.List(ctx, pods, client.InNamespace(gw.Namespace()), client.MatchingLabels(gw.Selector)); err != nil {
		return out, fmt.Errorf("egress gateway %q: %w", gw.Name, err)
	}
	return append(out, Pods(gw, pods.Items)...), nil
}

func (w *Watch) tell(ctx context.Context, found []Problem) {
	log := ctrl.LoggerFrom(ctx)
	now := map[Problem]bool{}
	w.gauge.Reset()
	for _, problem := range found {
		now[problem] = true
		w.gauge.WithLabelValues(problem.Code).Set(1)
		if !w.known[problem] {
			log.Info("Problem", "code", problem.Code, "message", problem.Message)
			w.Recorder.Eventf(w.Regarding, nil, corev1.EventTypeWarning, problem.Code, "Preflight", "%s", problem.Message)
		}
	}
	for problem := range w.known {
		if !now[problem] {
			log.Info("Problem is gone", "code", problem.Code, "message", problem.Message)
		}
	}
	w.known = now
}
