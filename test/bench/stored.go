package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// byHand is the variant of a client that writes past every webhook but the pair what ours writes: each entry's exit set, and
// its status.
const byHand = "pair-and-writes-by-hand"

// looks is how often it is looked whether exits are gone.
const looks = 25 * time.Millisecond

// measureStored has the API server evaluate no policy meanwhile that nobody of those goes by who are measured: each takes a part of every write.
func (r *run) measureStored(ctx context.Context, out *results) error {
	others := named("cel-10", "cel-100")
	if err := r.withdraw(ctx, others); err != nil {
		return err
	}
	if err := r.measureStoring(ctx, out); err != nil {
		return err
	}
	return r.install(ctx, others)
}

func (r *run) measureStoring(ctx context.Context, out *results) error {
	samples, err := r.storing(ctx, 16, r.storedRounds, r.storedEach)
	if err != nil {
		return err
	}
	if r.pprof {
		if err := r.profileStored(ctx, r.storedEach); err != nil {
			return err
		}
	}
	out.Stored = rows(samples)
	fmt.Println(table(storedHeader, storedRows(out.Stored)))
	out.Writes, err = r.countWrites(ctx)
	fmt.Printf("%+v\n", out.Writes)
	return err
}

// storing has the variants take turns of storing new hosts until all of it stands: the entry, and where there are any its exit set
// and its status.
func (r *run) storing(ctx context.Context, many, rounds, each int) (map[string][]sample, error) {
	if err := r.readExitSet(ctx); err != nil {
		return nil, err
	}
	names := []string{"none", "pair", byHand, "cel-1", "ours-0", "ours-10", "ours-baseline-10"}
	if len(r.variants) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(r.variants, name) })
	}
	out := map[string][]sample{}
	for round := range rounds + 1 {
		if round%2 == 1 {
			slices.Reverse(names)
		}
		for _, name := range names {
			one, err := r.storingBy(ctx, name, many, each)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if round > 0 {
				out[name] = append(out[name], one)
			}
		}
	}
	return out, nil
}

// storingBy is the turn of one variant.
func (r *run) storingBy(ctx context.Context, name string, many, count int) (out sample, err error) {
	by, err := r.storer(ctx, name)
	if err != nil {
		return out, err
	}
	defer by.follower.stop()
	before, err := r.allocatedSince(ctx, allocated{})
	if err != nil {
		return out, err
	}
	if err := r.turn(&out, func() ([]time.Duration, error) { return by.store(ctx, many, count) }); err != nil {
		return out, err
	}
	if out.allocated, err = r.allocatedSince(ctx, before); err != nil {
		return out, err
	}
	return out, r.forget(ctx)
}

// storer stores entries by a variant. Whatever it is, they are followed by a watch.
type storer struct {
	*run
	of       variant
	hand     bool
	follower *follower
	stored   int
}

// storer returns one whose follower is to be stopped.
func (r *run) storer(ctx context.Context, name string) (*storer, error) {
	out := &storer{run: r, hand: name == byHand}
	if out.hand {
		name = "pair"
	}
	out.of = named(name)[0]
	var err error
	out.follower, err = r.follow(ctx, out.of.namespace())
	return out, err
}

// store stores entries of new hosts, and returns when all of it stands.
func (s *storer) store(ctx context.Context, many, count int) ([]time.Duration, error) {
	took, err := s.write(ctx, s.of, s.hand, many, count)
	s.stored += count
	if err == nil && (s.hand || s.of.judge == ours) {
		err = s.follower.reach(ctx, s.stored)
	}
	return took, err
}

// write applies entries of new hosts by a variant; by hand, with what belongs to them.
func (r *run) write(ctx context.Context, of variant, hand bool, many, count int) ([]time.Duration, error) {
	first := r.sent
	r.sent += count
	return clients(ctx, many, count, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("stored-%d", first+i)
		if err := r.post(ctx, entries(of.namespace()), entry(of.namespace(), name, name+".bench.example.com")); err != nil || !hand {
			return err
		}
		return r.writeByHand(ctx, of.namespace(), name)
	})
}

// readExitSet keeps what ours writes for one host, to write it by hand.
func (r *run) readExitSet(ctx context.Context) error {
	of := named("ours-0")[0]
	const host = "model.bench.example.com"
	follower, err := r.follow(ctx, of.namespace())
	if err != nil {
		return err
	}
	defer follower.stop()
	if err := r.post(ctx, entries(of.namespace()), entry(of.namespace(), "model", host)); err != nil {
		return err
	}
	if err := follower.reach(ctx, 1); err != nil {
		return err
	}
	set, err := controlplane.ExitSet(ctx, r.plane.Client, controlplane.GatewayNamespace, host)
	if err != nil {
		return err
	}
	if len(set) == 0 {
		return errors.New("the host has no exit set")
	}
	r.exitSet = nil
	for _, object := range set {
		kind := object.GetKind()
		object.Object["metadata"] = map[string]any{"labels": asLarge(object.GetLabels()), "annotations": asLarge(object.GetAnnotations())}
		r.exitSet = append(r.exitSet, writable{plural: map[string]string{"ServiceEntry": "serviceentries", "VirtualService": "virtualservices", "DestinationRule": "destinationrules"}[kind], object: object.Object})
	}
	stored := &networkingv1.ServiceEntry{}
	if err := r.plane.Client.Get(ctx, client.ObjectKey{Namespace: of.namespace(), Name: "model"}, stored); err != nil {
		return err
	}
	r.status, err = json.Marshal(map[string]any{"status": &stored.Status})
	return errors.Join(err, r.forget(ctx))
}

// asLarge are labels or annotations that say as much and mean nothing to anybody.
func asLarge(of map[string]string) map[string]any {
	out := map[string]any{}
	for key, value := range of {
		out[strings.ReplaceAll(key, "egress-governor", "written-by-hand")] = strings.ReplaceAll(value, "egress-governor", "written-by-hand")
	}
	return out
}

// writable is an object of an exit set, and the path of its kind.
type writable struct {
	plural string
	object map[string]any
}

func (r *run) writeByHand(ctx context.Context, namespace, name string) error {
	for _, one := range r.exitSet {
		object := maps.Clone(one.object)
		to := named("none")[0].namespace()
		metadata := maps.Clone(object["metadata"].(map[string]any))
		metadata["namespace"], metadata["name"] = to, name+"-"+one.plural
		object["metadata"] = metadata
		raw, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if err := r.post(ctx, "/apis/networking.istio.io/v1/namespaces/"+to+"/"+one.plural, raw); err != nil {
			return err
		}
	}
	return r.send(ctx, http.MethodPatch, entries(namespace)+"/"+name+"/status", "application/merge-patch+json", r.status)
}

// forget deletes what was stored, and returns when the exit sets are gone, too, and nobody has to do with them any more: the next
// turn is another's.
func (r *run) forget(ctx context.Context) error {
	for _, one := range variants {
		for _, object := range []client.Object{&networkingv1.ServiceEntry{}, &networkingv1.VirtualService{}, &networkingv1.DestinationRule{}} {
			if err := r.plane.Client.DeleteAllOf(ctx, object, client.InNamespace(one.namespace())); err != nil {
				return err
			}
		}
	}
	idle := 0
	return wait.PollUntilContextTimeout(ctx, looks, settles, true, func(ctx context.Context) (bool, error) {
		list := &networkingv1.ServiceEntryList{}
		if err := r.plane.Client.List(ctx, list, client.InNamespace(controlplane.GatewayNamespace)); err != nil || len(list.Items) > 0 {
			return false, err
		}
		metrics, err := r.plane.Scrape(ctx)
		if idle++; atWork.MatchString(metrics) {
			idle = 0
		}
		return idle == idleLooks, err
	})
}

// atWork is what the webhook tells while a controller of it has something to do.
var atWork = regexp.MustCompile(`(?m)^(?:workqueue_depth|controller_runtime_active_workers)\{.*\} [1-9]`)

// idleLooks is how often in a row none has: what it last wrote may come back to it.
const idleLooks = 4
