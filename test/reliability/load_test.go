package reliability

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// outcome is what became of a request.
type outcome string

const (
	done outcome = "done"
	// closed was refused because no webhook answered: nothing was stored.
	closed outcome = "failed closed"
	// unreachable was answered by nobody, or by an API server that cannot.
	unreachable outcome = "not served by the API server"
	// refused was refused by a decision.
	refused outcome = "refused"
	// overdue was refused because its policies had too little of the machine's time.
	overdue outcome = "not judged in time"
	// ungoverned was stored otherwise than admission must have made it.
	ungoverned outcome = "stored ungoverned"
)

// answer is one, as its sender remembers it.
type answer struct {
	at   time.Time
	took time.Duration
	what string
	outcome
	said string
}

const (
	// pace is how long a tenant waits between two requests, held how many hosts it has at a time.
	pace = 25 * time.Millisecond
	held = 5
	// patience is how long a tenant waits for an answer.
	patience = 15 * time.Second
)

// load is what tenants send all the time: each entry and route of unique hosts is applied, changed and deleted again, by tenants who
// send anew whatever was not done.
type load struct {
	client  client.Client
	tenants []*tenant

	mu      sync.Mutex
	answers []answer
	// going is held by requests, and taken to have none.
	going sync.RWMutex
	stop  context.CancelFunc
	all   sync.WaitGroup
}

// tenant sends for one namespace, one request after the other.
type tenant struct {
	namespace string
	// stored are the names of entries and routes that it knows to be stored; one that is under way is neither here nor gone.
	stored map[string]bool
	doing  string
}

func start(ctx context.Context, c client.Client, namespaces ...string) *load {
	ctx, cancel := context.WithCancel(ctx)
	out := &load{client: c, stop: cancel}
	for _, namespace := range namespaces {
		of := &tenant{namespace: namespace, stored: map[string]bool{}}
		out.tenants = append(out.tenants, of)
		out.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				out.host(ctx, of, n)
			}
		})
	}
	return out
}

// end has the tenants stop.
func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// host does what is done for the nth host of a tenant.
func (l *load) host(ctx context.Context, of *tenant, n int) {
	for change := range 2 {
		l.until(ctx, of, "apply", entry(of.namespace, n, change))
		l.until(ctx, of, "apply", route(of.namespace, n, change))
	}
	if n >= held {
		l.until(ctx, of, "delete", route(of.namespace, n-held, 0))
		l.until(ctx, of, "delete", entry(of.namespace, n-held, 0))
	}
}

// until sends a request again and again until it is done, as whoever keeps a cluster by git does.
func (l *load) until(ctx context.Context, of *tenant, verb string, object *unstructured.Unstructured) {
	name := object.GetKind() + "/" + object.GetName()
	for ctx.Err() == nil {
		l.going.RLock()
		of.doing = name
		got := l.send(verb, object)
		if got.outcome == done {
			of.stored[name], of.doing = verb == "apply", ""
		}
		l.going.RUnlock()
		l.mu.Lock()
		l.answers = append(l.answers, got)
		l.mu.Unlock()
		time.Sleep(pace)
		if got.outcome == done {
			return
		}
	}
}

// send sends one request and judges what came back.
func (l *load) send(verb string, object *unstructured.Unstructured) answer {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, got := answer{at: time.Now(), what: verb + " " + object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()}, object.DeepCopy()
	var err error
	if verb == "delete" {
		err = client.IgnoreNotFound(l.client.Delete(ctx, got))
	} else {
		//nolint:staticcheck // the typed apply needs a generated configuration of each kind
		err = l.client.Patch(ctx, got, client.Apply, client.FieldOwner("tenant"), client.ForceOwnership)
	}
	out.took, out.outcome = time.Since(out.at), outcomeOf(err)
	if err != nil {
		out.said = err.Error()
	} else if verb == "apply" {
		// A replica that has not heard of an entry yet leaves its routes, which the entry leads; the controller injects them.
		wrong := differs(got)
		if equality.Semantic.DeepEqual(got.Object["spec"], object.Object["spec"]) && got.GetKind() == "VirtualService" {
			wrong = ""
		}
		if wrong != "" {
			out.outcome, out.said = ungoverned, wrong
		}
	}
	return out
}

func outcomeOf(err error) outcome {
	status := apierrors.APIStatus(nil)
	switch {
	case err == nil:
		return done
	case !errors.As(err, &status):
		return unreachable
	case apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook"):
		return closed
	case apierrors.IsInternalError(err) && strings.Contains(err.Error(), "it took more than"):
		return overdue
	case apierrors.IsInternalError(err) && strings.Contains(err.Error(), "denied the request"), apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return refused
	}
	return unreachable
}

// quietly does something while no request is under way.
func (l *load) quietly(do func()) {
	l.going.Lock()
	defer l.going.Unlock()
	do()
}

// since returns the answers to what was sent from a time on.
func (l *load) since(at time.Time) []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, _ := slices.BinarySearchFunc(l.answers, at, func(a answer, at time.Time) int { return a.at.Add(a.took).Compare(at) })
	return slices.Clone(l.answers[first:])
}

func entry(namespace string, n, change int) *unstructured.Unstructured {
	ports := []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}
	if change > 0 {
		ports = append(ports, map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"})
	}
	return object("ServiceEntry", namespace, n, map[string]any{"hosts": []any{hostOf(namespace, n)}, "resolution": "DNS", "exportTo": []any{"."}, "ports": ports})
}

func route(namespace string, n, change int) *unstructured.Unstructured {
	host := hostOf(namespace, n)
	return object("VirtualService", namespace, n, map[string]any{"hosts": []any{host}, "exportTo": []any{"."}, "http": []any{map[string]any{
		"timeout": fmt.Sprintf("%ds", 1+change), "route": []any{map[string]any{"destination": map[string]any{"host": host, "port": map[string]any{"number": int64(80)}}}},
	}}})
}

func hostOf(namespace string, n int) string { return fmt.Sprintf("h%d.%s.example.com", n, namespace) }

func object(kind, namespace string, n int, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": fmt.Sprintf("h%d", n)}, "spec": spec,
	}}
}
