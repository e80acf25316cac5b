package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// inAmbient is a request from a namespace in ambient mode.
func inAmbient(object *unstructured.Unstructured) Request {
	out := create(object)
	out.Namespace.Labels = map[string]string{"istio.io/dataplane-mode": "ambient"}
	return out
}

func ambientReviewer() (*Reviewer, *egresstest.Cluster) {
	view := egresstest.NewCluster()
	view.Mesh = egresstest.Ambient()
	return &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}, view
}

const web = `{hosts: [new.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`

func withLabel(object *unstructured.Unstructured, key, value string) *unstructured.Unstructured {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	object.SetLabels(labels)
	return object
}

// TestABoundEntryIsTold of, and beside ambient mode no entry is bound.
func TestABoundEntryIsTold(t *testing.T) {
	t.Parallel()
	r, _ := ambientReviewer()
	request := stored(t, r, inAmbient(entry(t, web)))
	outcome, err := r.Review(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict)
	assert.Contains(t, outcome.Changes, "metadata.labels: pods in ambient mode call them by waypoint egress/waypoint")

	request = stored(t, r, create(entry(t, web)))
	assert.Empty(t, request.Object.GetLabels())
	outcome, err = r.Review(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, Allowed, outcome.Verdict)
	assert.Len(t, outcome.Changes, 1)
}

// TestWhoUnbindsAnEntryAfterUsIsRefused, on update as on create; and the audit finds one that was never bound.
func TestWhoUnbindsAnEntryAfterUsIsRefused(t *testing.T) {
	t.Parallel()
	r, _ := ambientReviewer()
	bound := stored(t, r, inAmbient(entry(t, web)))
	for _, operation := range []Operation{Create, Update, Audit} {
		request := bound
		request.Operation, request.Object = operation, withLabel(bound.Object.DeepCopy(), egress.UseWaypoint, "none")
		if operation == Update {
			request.Old = bound.Object
		}
		outcome, err := r.Review(t.Context(), request)
		require.NoError(t, err)
		assert.Contains(t, codes(outcome), "other-waypoint metadata.labels[istio.io/use-waypoint]", operation)
		assert.Equal(t, Refused, outcome.Verdict)

		request.Object.SetLabels(nil)
		outcome, err = r.Review(t.Context(), request)
		require.NoError(t, err)
		assert.Equal(t, []string{"not-bound metadata.labels[istio.io/use-waypoint]"}, codes(outcome), operation)
	}
}

// TestAnUpdateThatTakesTheLabelsAwayIsBoundAgain: whoever applies his manifest anew does not name them.
func TestAnUpdateThatTakesTheLabelsAwayIsBoundAgain(t *testing.T) {
	t.Parallel()
	r, _ := ambientReviewer()
	bound := stored(t, r, inAmbient(entry(t, web)))
	request := bound
	request.Operation, request.Old, request.Object = Update, bound.Object, bound.Object.DeepCopy()
	request.Object.SetLabels(map[string]string{"team": "a"})
	request = stored(t, r, request)
	assert.Equal(t, egress.Waypoint{Namespace: "egress", Name: "waypoint"}, hop.BoundTo(request.Object))
	assert.Equal(t, "a", request.Object.GetLabels()["team"])
}

// TestWhatAWaypointCannotServe is refused, and so is what ambient mode has no address of.
func TestWhatAWaypointCannotServe(t *testing.T) {
	t.Parallel()
	const wild = `{hosts: ["*.new.com"], resolution: DNS, endpoints: [{address: www.new.com}], ports: [{number: 443, name: tls, protocol: TLS}]}`
	known := func(namespace string, waypoint string, terminating bool) *egress.Entry {
		out := egresstest.Sealed("new.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
		out.Namespace, out.Terminating = namespace, terminating
		if waypoint != "" {
			out.Waypoint = egress.Waypoint{Namespace: "egress", Name: waypoint}
		}
		return out
	}
	const optOut = "networking.istio.io/enable-autoallocate-ip"
	for name, tc := range map[string]struct {
		object *unstructured.Unstructured
		beside *egress.Entry
		want   []string
	}{
		"an entry":                          {entry(t, web), nil, nil},
		"a wildcard":                        {entry(t, wild), nil, []string{"no-address spec.hosts[0]"}},
		"no automatic address":              {withLabel(entry(t, web), optOut, "False"), nil, []string{"no-address spec.hosts[0]"}},
		"an address of its own":             {withLabel(entry(t, `{hosts: [new.example.com], addresses: [192.0.2.1], resolution: STATIC, endpoints: [{address: 192.0.2.1}], ports: [{number: 80, name: http, protocol: HTTP}]}`), optOut, "false"), nil, nil},
		"another entry of the host":         {entry(t, web), known("shop", "waypoint", false), []string{"waypoint-host spec.hosts[0]"}},
		"another of the same namespace":     {entry(t, web), known("payments", "waypoint", false), []string{"waypoint-host spec.hosts[0]"}},
		"one that goes":                     {entry(t, web), known("shop", "waypoint", true), nil},
		"one at another waypoint":           {entry(t, web), known("shop", "other", false), nil},
		"one of a namespace with sidecars":  {entry(t, web), known("shop", "", false), nil},
		"service accounts, which Plain has": {annotated(entry(t, web), "a"), nil, []string{"service-accounts metadata.annotations[egress-governor.io/service-accounts]"}},
	} {
		r, view := ambientReviewer()
		if tc.beside != nil {
			view.Known = append(view.Known, tc.beside)
		}
		outcome, err := r.Review(t.Context(), stored(t, r, inAmbient(tc.object)))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
	r, _ := ambientReviewer()
	outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, wild))))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "sidecars know a wildcard")
}
