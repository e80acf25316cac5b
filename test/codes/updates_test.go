package codes

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

// everything lets everything pass: what a policy says of an object, it says whatever the operation is.
type everything struct{}

func (everything) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

// harmless has what an author may have stored before, in the place of a spec that is refused, by its kind.
var harmless = map[string]map[string]func(spec map[string]any){
	"ServiceEntry": {
		"without endpoints": func(spec map[string]any) { delete(spec, "endpoints"); spec["resolution"] = "DNS" },
		"another endpoint": func(spec map[string]any) {
			spec["endpoints"], spec["resolution"] = []any{map[string]any{"address": "198.51.100.99"}}, "STATIC"
		},
		"without addresses": func(spec map[string]any) { delete(spec, "addresses") },
		"another host":      func(spec map[string]any) { spec["hosts"] = []any{"harmless.example.com"} },
		"its own alone":     func(spec map[string]any) { spec["exportTo"] = []any{"."} },
		"another port": func(spec map[string]any) {
			spec["ports"] = []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}
		},
		"the first port": func(spec map[string]any) {
			if ports, _ := spec["ports"].([]any); len(ports) > 1 {
				spec["ports"] = ports[:1]
			}
		},
		"the last port": func(spec map[string]any) {
			if ports, _ := spec["ports"].([]any); len(ports) > 1 {
				spec["ports"] = ports[len(ports)-1:]
			}
		},
		"of workloads": func(spec map[string]any) {
			inside(spec)
			delete(spec, "endpoints")
			spec["workloadSelector"] = map[string]any{"labels": map[string]any{"app": "x"}}
		},
		"inside": inside,
		"outside": func(spec map[string]any) {
			delete(spec, "location")
			delete(spec, "workloadSelector")
			spec["resolution"] = "DNS"
		},
	},
	"DestinationRule": {
		"another host":    func(spec map[string]any) { spec["host"] = "harmless.example.com" },
		"without setting": func(spec map[string]any) { delete(spec, "trafficPolicy") },
	},
}

func inside(spec map[string]any) { spec["location"], spec["resolution"] = "MESH_INTERNAL", "STATIC" }

// admission is a webhook with what is stored.
type admission struct {
	*review.Reviewer
	stored *registry.Registry
	labels map[string]map[string]string
}

func (e *Example) mesh(t *testing.T) *egress.Mesh {
	t.Helper()
	configuration, err := e.configuration()
	require.NoError(t, err)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	return mesh
}

func (e *Example) admission(t *testing.T, mesh *egress.Mesh) *admission {
	t.Helper()
	stored := registry.New(mesh)
	out := &admission{&review.Reviewer{Mesh: mesh, View: stored, Policies: everything{}}, stored, map[string]map[string]string{}}
	out.put(t, e.objects(t, e.Before)...)
	return out
}

func (e *Example) objects(t *testing.T, text string) (out []*unstructured.Unstructured) {
	t.Helper()
	parsed, err := manifest.Parse(e.name(), []byte(text))
	require.NoError(t, err)
	for _, object := range parsed {
		out = append(out, object.Unstructured)
	}
	return out
}

func (a *admission) put(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			a.labels[object.GetName()] = object.GetLabels()
		}
		form, _ := a.ask(t, object, nil)
		require.NoError(t, a.stored.Put(form))
	}
}

// ask returns the form in which an object would be stored, and the codes of what is wrong with it.
func (a *admission) ask(t *testing.T, object, old *unstructured.Unstructured) (form *unstructured.Unstructured, refused []string) {
	t.Helper()
	if _, governed := review.ResourceOf(object.GetKind()); !governed {
		return object, nil
	}
	request := review.Request{
		Operation: review.Create, Object: object, Name: object.GetName(), Time: now,
		Namespace: review.Namespace{Name: object.GetNamespace(), Labels: a.labels[object.GetNamespace()]},
	}
	if old != nil {
		request.Operation, request.Old = review.Update, old
	}
	form, err := a.Rewrite(request)
	var refusals review.Refusals
	if errors.As(err, &refusals) {
		form = object
	} else {
		require.NoError(t, err)
	}
	request.Object = form
	outcome, err := a.Review(t.Context(), request)
	require.NoError(t, err)
	for _, finding := range outcome.Findings {
		if finding.Effect == review.Denied || finding.Effect == review.Refused {
			refused = append(refused, finding.Code)
		}
	}
	for _, refusal := range refusals {
		refused = append(refused, refusal.Code)
	}
	slices.Sort(refused)
	return form, slices.Compact(refused)
}

// TestWhatIsRefusedIsRefusedOfAnUpdate: whatever is refused of a new object is refused of one that was harmless, too. Of what stays nothing
// is asked in places, and what stays is more than what a stored spec shows: of a sealed one the annotation alone changes.
func TestWhatIsRefusedIsRefusedOfAnUpdate(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, first := range examples(t) {
		for _, example := range append([]*Example{first}, first.Further...) {
			if example.Patch != nil || example.Audited || example.Policy != "" {
				continue
			}
			wanted := example.objects(t, example.Whole())
			wants := wanted[len(wanted)-1]
			mesh := example.mesh(t)
			for name, form := range example.formsBefore(t, wants) {
				at := example.admission(t, mesh)
				at.put(t, wanted[:len(wanted)-1]...)
				_, want := at.ask(t, wants, nil)
				old, refused := at.ask(t, form, nil)
				if len(want) == 0 || len(refused) > 0 {
					continue
				}
				require.NoError(t, at.stored.Put(old))
				_, got := at.ask(t, wants, old)
				tried++
				assert.Equal(t, want, got, "%s/%s: %s", example.name(), example.When, name)
			}
		}
	}
	require.Greater(t, tried, 200)
}

// formsBefore are what may have been stored in the place of an object: the forms of it in which it does no harm.
func (e *Example) formsBefore(t *testing.T, object *unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, mended := range e.objects(t, e.Many.whole(e.Mended)) {
		if mended.GetKind() == object.GetKind() && mended.GetNamespace() == object.GetNamespace() {
			mended.SetName(object.GetName())
			out["mended"] = mended
		}
	}
	for name, change := range harmless[object.GetKind()] {
		form := object.DeepCopy()
		if spec, is := form.Object["spec"].(map[string]any); is {
			change(spec)
			out[name] = form
		}
	}
	return out
}
