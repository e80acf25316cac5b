package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"github.com/egress-governor/egress-governor/internal/registry"
)

// interval is how often the leader looks again.
const interval = time.Minute

// Preflight looks at start and every minute at what is around the webhook, and tells of each problem once, when it comes
// and when it goes: in the log, by an Event, and by the metric egress_governor_problem for as long as it lasts; and in
// the status of the Gateway object of every egress gateway that it concerns. The leader alone runs it.
type Preflight struct {
	// Mesh names the gateways.
	Mesh *egress.Mesh
	// Live reads from the API server.
	Live client.Reader
	// Foreign returns what Gateway objects of others take from an egress gateway; nil where none are known.
	Foreign func(gw egress.Gateway) []egress.Finding
	// Ungoverned returns the names of entries that governed clients see and that no gateway carries; nil where none are known.
	Ungoverned func() []string
	// Open returns the Sidecars that let out what is to be blocked; nil where nothing is.
	Open func() []string
	// Unclosed returns the objects that are to close governed namespaces, and that are not there; nil where nothing is closed.
	Unclosed func() []string
	// Unsealed returns the names of entries of governed namespaces that lead straight out; nil where none are known.
	Unsealed func() []string
	// View says of which hosts calls come to an egress gateway, and under which rules; nil where nothing is known.
	View egress.View
	// MeshConfig is Istio's ConfigMap.
	MeshConfig types.NamespacedName
	// Configuration is the name of the ValidatingWebhookConfiguration; empty where whether admission is stopped is no matter.
	Configuration string
	// Recorder writes Events about Regarding.
	Recorder  events.EventRecorder
	Regarding runtime.Object
	// Metrics takes the gauge.
	Metrics prometheus.Registerer
	// Status writes the condition Ready of the Gateway objects we keep.
	Status client.StatusClient

	gauge *prometheus.GaugeVec
	// known are the problems that are told of, by the part of the surroundings that they were found in.
	known map[Problem]string
}

// Problem is a finding about one egress gateway, or about the mesh and so about all of them where Gateway is empty.
type Problem struct {
	egress.Finding
	Gateway string
}

// sentence says what is wrong and how to mend it.
func (p Problem) sentence() string { return p.Message + "; " + p.Fix }

// Start implements manager.Runnable. It returns when the context ends.
func (p *Preflight) Start(ctx context.Context) error {
	p.gauge = newGauge()
	if err := p.Metrics.Register(p.gauge); err != nil {
		return err
	}
	wait.UntilWithContext(ctx, p.look, interval)
	return nil
}

func newGauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "egress_governor_problem",
		Help: "1 for each problem that keeps calls from an egress gateway, or lets them out beside all of them (gateway is empty).",
	}, []string{"code", "gateway"})
}

func (p *Preflight) look(ctx context.Context) {
	parts, err := p.parts(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Preflight is incomplete")
	} else if err := p.write(ctx, problemsOf(parts)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Status of the Gateways is not written")
	}
	p.tell(ctx, parts)
}

// Look returns what is wrong now. With an error come the problems that were found all the same.
func (p *Preflight) Look(ctx context.Context) ([]Problem, error) {
	parts, err := p.parts(ctx)
	return problemsOf(parts), err
}

// part is a part of the surroundings, of one gateway or of the mesh, with what is wrong in it; whole says that all of it could be looked at.
type part struct {
	name, gateway string
	problems      []Problem
	whole         bool
}

func problemsOf(parts []part) (out []Problem) {
	for _, of := range parts {
		out = append(out, of.problems...)
	}
	return out
}

// parts looks at everything. With an error something could not be looked at.
func (p *Preflight) parts(ctx context.Context) (out []part, err error) {
	add := func(name, gateway string, found []egress.Finding, unread ...error) {
		of := part{name: name, gateway: gateway, whole: errors.Join(unread...) == nil}
		for _, finding := range found {
			of.problems = append(of.problems, Problem{finding, gateway})
		}
		out = append(out, of)
	}
	stop, unread := p.stopped(ctx)
	add("admission", "", stop, unread)
	mesh, meshUnread := meshSettingsOf(ctx, p.Live, p.MeshConfig)
	around, aroundUnread := p.around(ctx, mesh)
	errs := []error{unread, meshUnread, aroundUnread}
	for _, gw := range p.Mesh.Gateways {
		found, unread := p.gateway(ctx, gw, around)
		add("gateway", gw.Name, found, unread, meshUnread, aroundUnread)
		errs = append(errs, unread)
		found, unread = p.waypoints(ctx, gw, mesh)
		add("waypoints", gw.Name, found, unread, meshUnread)
		errs = append(errs, unread)
	}
	add("known", "", p.inMemory())
	if p.Open == nil {
		add("outbound", "", outbound(mesh), meshUnread)
	}
	return out, errors.Join(errs...)
}

// inMemory returns what is known to be wrong without a look at the cluster.
func (p *Preflight) inMemory() (out []egress.Finding) {
	for _, of := range []struct {
		names func() []string
		find  func(names []string) []egress.Finding
	}{{p.Ungoverned, ungoverned}, {p.Unsealed, unsealed}, {p.Unclosed, unclosed}, {p.Open, opened}} {
		if of.names != nil {
			out = append(out, of.find(of.names())...)
		}
	}
	return out
}

func (p *Preflight) gateway(ctx context.Context, gw egress.Gateway, around surroundings) ([]egress.Finding, error) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace(), Name: gw.ServiceName()}}
	var read *egress.Service
	if err := p.Live.Get(ctx, client.ObjectKeyFromObject(service), service); err == nil {
		read = registry.ReadService(service)
	} else if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("egress gateway %q: %w", gw.Name, err)
	}
	out := gw.Problems(read)
	if p.Foreign != nil {
		out = append(out, p.Foreign(gw)...)
	}
	list := &corev1.PodList{}
	if err := p.Live.List(ctx, list, client.InNamespace(gw.Namespace()), client.MatchingLabels(gw.Selector)); err != nil {
		return out, fmt.Errorf("egress gateway %q: %w", gw.Name, err)
	}
	given := running(list.Items)
	hazards, err := p.hazards(gw, around, given)
	return slices.Concat(out, pods(gw, given), hazards), err
}

// tell tells of the problems that are new and of those that are gone; none is gone from a part that could not be looked at.
func (p *Preflight) tell(ctx context.Context, parts []part) {
	log := ctrl.LoggerFrom(ctx)
	now := map[Problem]string{}
	p.gauge.Reset()
	for _, of := range parts {
		for _, problem := range slices.Concat(of.problems, p.notGone(of)) {
			now[problem] = of.name
			p.gauge.WithLabelValues(problem.Code, problem.Gateway).Set(1)
			if _, known := p.known[problem]; !known {
				log.Info("Problem", "code", problem.Code, "gateway", problem.Gateway, "message", problem.sentence())
				p.Recorder.Eventf(p.Regarding, nil, corev1.EventTypeWarning, problem.Reason(), "Preflight", "%s", problem.sentence())
			}
		}
	}
	for problem := range p.known {
		if _, still := now[problem]; !still {
			log.Info("Problem is gone", "code", problem.Code, "gateway", problem.Gateway, "message", problem.Message)
		}
	}
	p.known = now
}

// notGone returns the problems that were found in a part before, where not all of it could be looked at now.
func (p *Preflight) notGone(in part) (out []Problem) {
	for problem, name := range p.known {
		if !in.whole && name == in.name && problem.Gateway == in.gateway {
			out = append(out, problem)
		}
	}
	return out
}
