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

func sidecar(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	out := entry(t, spec)
	out.SetKind("Sidecar")
	return out
}

func blocking(asked *policies) *Reviewer {
	mesh := egresstest.Mesh()
	mesh.Block, mesh.IstioNamespace = true, "istio-system"
	return &Reviewer{Mesh: mesh, View: egresstest.NewCluster(), Policies: asked}
}

// TestASidecarOfATenant is completed or refused where what nobody registered is blocked, and nobody's business elsewhere.
func TestASidecarOfATenant(t *testing.T) {
	t.Parallel()
	const allowAny = `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`
	for name, tc := range map[string]struct {
		spec, namespace string
		left            bool
		mode            string
		want            []string
		changes         int
	}{
		"left out":              {`{egress: [{hosts: ["./*"]}]}`, "payments", false, "REGISTRY_ONLY", nil, 1},
		"for some":              {`{workloadSelector: {labels: {app: a}}}`, "payments", false, "REGISTRY_ONLY", nil, 1},
		"closed":                {`{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`, "payments", false, "REGISTRY_ONLY", nil, 0},
		"open":                  {allowAny, "payments", false, "ALLOW_ANY", []string{"sidecar-allow-any spec.outboundTrafficPolicy.mode"}, 0},
		"everybody's":           {allowAny, "istio-system", false, "ALLOW_ANY", nil, 0},
		"everybody's, left out": {`{}`, "istio-system", false, "", nil, 0},
		"open, left":            {allowAny, "payments", true, "ALLOW_ANY", nil, 0},
		"left out, left":        {`{}`, "payments", true, "", nil, 0},
	} {
		r := blocking(&policies{})
		r.Mesh.Block = !tc.left
		req := create(sidecar(t, tc.spec))
		req.Namespace.Name = tc.namespace
		req = stored(t, r, req)
		assert.Equal(t, tc.mode, hop.SidecarMode(req.Object), name)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
		assert.Len(t, outcome.Changes, tc.changes, name)
	}
}

// TestASidecarThatHidesOnesOwnEntriesIsTold, with the first of their hosts and how many there are.
func TestASidecarThatHidesOnesOwnEntriesIsTold(t *testing.T) {
	t.Parallel()
	shared := egresstest.Sealed("api.example.com", egress.Port{Number: 443, Protocol: "TLS"})
	shared.Namespace = "partners"
	for spec, want := range map[string]string{
		`{egress: [{hosts: ["istio-system/*"]}]}`:                                                   `"*.wild.test", of the namespace's own ServiceEntries, is not imported (and 4 more)`,
		`{egress: [{hosts: ["./*.example.com"]}, {port: {number: 443}, hosts: ["*/*.wild.test"]}]}`: `"*.wild.test", of the namespace's own ServiceEntries, is not imported (and 2 more)`,
		`{egress: [{hosts: ["./*"]}, {port: {number: 443}, hosts: ["./*", "~/x.test"]}]}`:           "",
		`{egress: [{hosts: ["*/*", "~./*.wild.test"]}]}`:                                            `"*.wild.test", of the namespace's own ServiceEntries, is not imported (and 0 more)`,
		`{egress: [{hosts: ["*/*", "~/*"]}]}`:                                                       `"*.wild.test", of the namespace's own ServiceEntries, is not imported (and 4 more)`,
		`{egress: [{hosts: ["~/*"]}]}`:                                                              `"*.wild.test", of the namespace's own ServiceEntries, is not imported (and 4 more)`,
		`{egress: [{hosts: ["./two.example.com", "payments/*.test", "partners/*"]}]}`:               `"grpc.example.com", of the namespace's own ServiceEntries, is not imported (and 1 more)`,
		`{egress: [{hosts: ["./*"]}]}`:                                                              "",
		`{egress: [{hosts: ["*/*"]}]}`:                                                              "",
		`{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`:                                            "",
		`{workloadSelector: {labels: {app: web}}, egress: [{hosts: ["istio-system/*"]}]}`:           "",
	} {
		r := blocking(&policies{})
		r.Mesh.Block = false
		view := egresstest.NewCluster()
		view.Known = append(view.Known, shared)
		r.View = view
		req := create(sidecar(t, spec))
		req.Namespace.Name = egresstest.Namespace
		outcome, err := r.Review(t.Context(), stored(t, r, req))
		require.NoError(t, err, spec)
		if want == "" {
			assert.Empty(t, outcome.Changes, spec)
			continue
		}
		require.Len(t, outcome.Changes, 1, spec)
		assert.Contains(t, outcome.Changes[0], want, spec)
	}
}

// TestPoliciesSeeTheAuthorsSidecar where it is completed. Elsewhere nothing is, and the record is anybody's word: they see what
// will be stored.
func TestPoliciesSeeTheAuthorsSidecar(t *testing.T) {
	t.Parallel()
	asked := &policies{}
	r := blocking(asked)
	in := sidecar(t, `{egress: [{hosts: ["./*"]}]}`)
	req := stored(t, r, create(in))
	_, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, in.Object, asked.asked[0].Document["object"])
	r.Mesh.Block = false
	forged := sidecar(t, `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
	forged.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"was": {"mode": "REGISTRY_ONLY"}, "now": {"mode": "ALLOW_ANY"}, "paths": ["spec.outboundTrafficPolicy"]}]`})
	_, err = r.Review(t.Context(), create(forged))
	require.NoError(t, err)
	assert.Equal(t, forged.Object, asked.asked[1].Document["object"])
}

// TestASidecarThatIsOpenedAfterUsIsRefused.
func TestASidecarThatIsOpenedAfterUsIsRefused(t *testing.T) {
	t.Parallel()
	outcome, err := blocking(&policies{}).Review(t.Context(), create(sidecar(t, `{}`)))
	require.NoError(t, err)
	assert.Equal(t, []string{"not-closed spec.outboundTrafficPolicy"}, codes(outcome))
}

// TestOurSidecarIsNoTenants: no policy is asked about it, beside whatever Sidecar of Istio's root namespace, but about whatever else has
// its marks.
func TestOurSidecarIsNoTenants(t *testing.T) {
	t.Parallel()
	for name, root := range map[string]*unstructured.Unstructured{
		"alone":             nil,
		"beside everybodys": sidecar(t, `{egress: [{hosts: ["istio-system/*", "./*"]}], inboundConnectionPool: {tcp: {maxConnections: 5}}}`),
		"beside an open":    sidecar(t, `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := &policies{}
			r := blocking(asked)
			ours := hop.Sidecar("payments", root)
			req := stored(t, r, create(ours))
			assert.Equal(t, ours, req.Object)
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Allowed, outcome.Verdict)
			assert.Empty(t, asked.asked)
			for _, field := range []string{"hosts", "workloadSelector", "outboundTrafficPolicy"} {
				theirs := ours.DeepCopy()
				require.NoError(t, unstructured.SetNestedField(theirs.Object, map[string]any{"mode": "REGISTRY_ONLY", "egressProxy": "a"}, "spec", field))
				_, err = r.Review(t.Context(), create(theirs))
				require.NoError(t, err)
			}
			assert.Len(t, asked.asked, 3)
		})
	}
}

// TestNobodyTakesTheNameOfWhatCloses for some workloads: ours could not be made for the others. For all it closes as well as ours.
func TestNobodyTakesTheNameOfWhatCloses(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{workloadSelector: {labels: {app: a}}}`: {"closing-name metadata.name"}, `{workloadSelector: {}}`: {"closing-name metadata.name"}, `{egress: [{hosts: ["./*"]}]}`: nil,
	} {
		for _, block := range []bool{true, false} {
			r := blocking(&policies{})
			r.Mesh.Block = block
			theirs := sidecar(t, spec)
			theirs.SetName(hop.ClosingName)
			outcome, err := r.Review(t.Context(), stored(t, r, create(theirs)))
			require.NoError(t, err)
			if !block {
				want = nil
			}
			assert.Equal(t, want, codes(outcome), "%s, %v", spec, block)
		}
	}
}

// TestASidecarIsHeldAgainstAHostOnce, and not for each of its ports with each listener: a tenant writes thousands of both.
func TestASidecarIsHeldAgainstAHostOnce(t *testing.T) {
	sidecar := object(t, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: x, namespace: payments}\nspec: {egress: "+list(500, `{hosts: [x/y, "./*", "~./*.test"]}`)+"}")
	of := importsOf(sidecar, "payments")
	ports := func(n int) (out []egress.Port) {
		for i := range n {
			out = append(out, egress.Port{Number: uint32(1000 + i), Protocol: "HTTP"})
		}
		return out
	}
	work := func(n int) float64 {
		ports := ports(n)
		return testing.AllocsPerRun(10, func() { assert.False(t, of.all("payments", "api.test", ports)) })
	}
	assert.InDelta(t, work(1), work(256), 2, "allocations")
	assert.True(t, of.all("payments", "api.example.com", ports(256)))
	assert.False(t, of.all("shop", "api.example.com", ports(1)))
}
