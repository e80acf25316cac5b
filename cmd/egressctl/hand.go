package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// look is how often a cluster is looked at while something is waited for, tries how often a write is tried that another came before.
const (
	look  = 200 * time.Millisecond
	tries = 5
)

// hand writes into a cluster, one object at a time and no faster than its pace.
type hand struct {
	pace
	client  dynamic.Interface
	mesh    *egress.Mesh
	limiter flowcontrol.RateLimiter
	bar     *progress
	// followers are what follows entries that are sealed.
	followers *followers
	// crossed are the crossings that it stored and did not take away yet.
	crossed []*unstructured.Unstructured
}

func newHand(config *rest.Config, at pace, mesh *egress.Mesh) (*hand, error) {
	config = rest.CopyConfig(config)
	// The pace is what limits it, and what the webhook tells authors was said in the plan.
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &hand{pace: at, client: client, mesh: mesh, limiter: flowcontrol.NewTokenBucketRateLimiter(float32(at.rate), 1), bar: newProgress(nil, 0)}, nil
}

// resources are the kinds that are written.
var resources = map[string]schema.GroupVersionResource{
	"Namespace":       {Version: "v1", Resource: "namespaces"},
	"ServiceEntry":    {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	"VirtualService":  {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"DestinationRule": {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	"Gateway":         {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	"Sidecar":         {Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	"EnvoyFilter":     {Group: "networking.istio.io", Version: "v1alpha3", Resource: "envoyfilters"},
}

func (h *hand) of(object *unstructured.Unstructured) dynamic.ResourceInterface {
	return h.client.Resource(resources[object.GetKind()]).Namespace(object.GetNamespace())
}

// fresh returns a planned object as it is stored now. The error is that of one that its author changed since.
func (h *hand) fresh(ctx context.Context, planned *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out, err := h.of(planned).Get(ctx, planned.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return out, changed(out, planned)
}

var errChanged = errors.New("somebody changed it since the plan was made; run this again, which plans anew")

// changed is the error of an object whose author, or whoever else, wrote something else since.
func changed(now, planned *unstructured.Unstructured) error {
	if now.GetUID() != planned.GetUID() || now.GetGeneration() != planned.GetGeneration() {
		return errChanged
	}
	return nil
}

// patch merges fields into an object that was read, unless somebody wrote it since.
func (h *hand) patch(ctx context.Context, object *unstructured.Unstructured, metadata map[string]any, dryRun ...string) (*unstructured.Unstructured, error) {
	fields := map[string]any{"resourceVersion": object.GetResourceVersion()}
	for name, value := range metadata {
		fields[name] = value
	}
	raw, err := json.Marshal(map[string]any{"metadata": fields})
	if err != nil {
		return nil, err
	}
	return h.of(object).Patch(ctx, object.GetName(), types.MergePatchType, raw, metav1.PatchOptions{DryRun: dryRun, FieldManager: "egressctl"})
}

// write does something with a planned object as it is now, in its turn, and again while others write it in between.
func (h *hand) write(ctx context.Context, planned *unstructured.Unstructured, do func(now *unstructured.Unstructured) error) error {
	for try := 1; ; try++ {
		if err := h.limiter.Wait(ctx); err != nil {
			return err
		}
		now, err := h.fresh(ctx, planned)
		if err == nil {
			err = do(now)
		}
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) || try == tries {
			return fmt.Errorf("%s: %w", manifest.Name(planned), err)
		}
	}
}

// holding are the annotations by which the exit of an entry stands, releasing those by which it does not.
var (
	holding   = map[string]any{"annotations": map[string]any{hop.ExitAnnotation: hop.ExitHeld}}
	releasing = map[string]any{"annotations": map[string]any{hop.ExitAnnotation: nil}}
)

func (h *hand) sealed(entry *unstructured.Unstructured) bool {
	_, is := hop.SealedTo(entry, h.mesh)
	return is
}

// poll looks again and again until something is so, or for as long as it may take.
func (h *hand) poll(ctx context.Context, is func() (bool, error)) (done bool, err error) {
	until := time.Now().Add(h.timeout)
	for {
		done, err := is()
		if done || err != nil || time.Now().After(until) {
			return done, err
		}
		if err := pause(ctx, look); err != nil {
			return false, err
		}
	}
}

func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(long):
		return nil
	}
}

// await waits until an entry is ready for a reason, or says why it is not.
func (h *hand) await(ctx context.Context, planned *unstructured.Unstructured, reason string) error {
	last := "no controller has looked at it"
	done, err := h.poll(ctx, func() (bool, error) {
		now, err := h.of(planned).Get(ctx, planned.GetName(), metav1.GetOptions{})
		if reason == registry.ReasonAhead && err == nil {
			err = changed(now, planned)
		}
		if err != nil {
			return false, err
		}
		told := registry.ToldOf(now)
		if told == nil {
			return false, nil
		}
		if told.Before(now.GetGeneration()) {
			last = fmt.Sprintf("%s tells of generation %d, and the entry is of generation %d", registry.ConditionExitReady, told.Generation, now.GetGeneration())
			return false, nil
		}
		last = fmt.Sprintf("%s is %s (%s): %s", registry.ConditionExitReady, told.Status, told.Reason, told.Message)
		return told.Status == "True" && told.Reason == reason, nil
	})
	if err == nil && !done {
		err = fmt.Errorf("its exit does not stand after %s: %s", h.timeout, last)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", manifest.Name(planned), err)
	}
	return nil
}
