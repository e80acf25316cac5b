package review

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestNobodyTakesAHostFromClientsOfOthers: clients of a third namespace find one entry of a host, and must not lose by another
// what they have by it.
func TestNobodyTakesAHostFromClientsOfOthers(t *testing.T) {
	t.Parallel()
	const (
		fewer    = `{hosts: [api.example.com], exportTo: TO, resolution: DNS, ports: [{number: 8080, name: http, protocol: HTTP}]}`
		all      = `{hosts: [api.example.com], exportTo: TO, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}, {number: 8080, name: http, protocol: HTTP}]}`
		internal = `{hosts: [api.example.com], exportTo: TO, location: MESH_INTERNAL, resolution: DNS, endpoints: [{address: local.payments.svc.cluster.local}],
			ports: [{number: 443, name: tls, protocol: TLS}, {number: 8080, name: http, protocol: HTTP}]}`
	)
	theirs := func(exportTo ...string) *egress.Entry {
		out := egresstest.Sealed("api.example.com", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		out.Namespace, out.Name, out.ExportTo = "other", "theirs", exportTo
		return out
	}
	for name, tc := range map[string]struct {
		theirs   *egress.Entry
		old, new string
		to       [2]string
		// first says that ours is the older.
		first, taken bool
	}{
		"by name, from everybody's":              {theirs(), "", fewer, [2]string{"", "[third]"}, false, true},
		"by name, from one by name":              {theirs("third"), "", fewer, [2]string{"", "[third]"}, false, false},
		"of the mesh, by name":                   {theirs(), "", internal, [2]string{"", "[third]"}, false, true},
		"with all that it has":                   {theirs(), "", all, [2]string{"", "[third]"}, false, true},
		"of a leaving one, with all":             {leaving(theirs()), "", all, [2]string{"", "[third]"}, false, false},
		"by name, from the mesh's":               {ofMesh(theirs()), "", all, [2]string{"", "[third]"}, false, true},
		"of the mesh, by name, from the mesh's":  {ofMesh(theirs()), "", internal, [2]string{"", "[third]"}, false, true},
		"for everybody before, with all":         {theirs(), all, strings.Replace(all, "tls, p", "https, p", 1), [2]string{`["*"]`, `["*"]`}, true, false},
		"from its own namespace":                 {theirs(), "", fewer, [2]string{"", "[other]"}, false, false},
		"for itself":                             {theirs(), "", fewer, [2]string{"", `["."]`}, false, false},
		"from one that the third does not see":   {theirs("."), "", fewer, [2]string{"", "[third]"}, false, false},
		"for everybody, as the younger":          {theirs(), "", fewer, [2]string{"", `["*"]`}, false, false},
		"for everybody, of the mesh":             {theirs(), "", internal, [2]string{"", `["*"]`}, false, false},
		"for itself, and then for the third":     {theirs(), fewer, fewer, [2]string{`["."]`, "[third]"}, true, true},
		"for itself, and then for everybody":     {theirs(), fewer, fewer, [2]string{`["."]`, `["*"]`}, true, true},
		"for everybody, and then with less":      {theirs(), all, fewer, [2]string{`["*"]`, `["*"]`}, true, true},
		"for everybody, and then of the mesh":    {theirs(), all, internal, [2]string{`["*"]`, `["*"]`}, true, true},
		"for everybody before, as little as":     {theirs(), fewer, strings.Replace(fewer, "8080", "9090", 1), [2]string{`["*"]`, `["*"]`}, true, false},
		"for everybody before, and then less so": {theirs(), fewer, fewer, [2]string{`["*"]`, `["."]`}, true, false},
	} {
		r := newReviewer()
		view := &egresstest.Cluster{Known: []*egress.Entry{tc.theirs}, Services: r.View.(*egresstest.Cluster).Services}
		r.View = view
		req := create(entry(t, strings.Replace(tc.new, "TO", tc.to[1], 1)))
		if tc.old != "" {
			req.Operation = Update
			req.Old = stored(t, r, create(entry(t, strings.Replace(tc.old, "TO", tc.to[0], 1)))).Object
			before := egresstest.Sealed("api.example.com")
			before.Namespace, before.Name, before.ExportTo = req.Old.GetNamespace(), req.Old.GetName(), egress.ExportTo(req.Old)
			parsed, err := hop.ParseEntry(entry(t, strings.Replace(tc.old, "TO", tc.to[0], 1)))
			require.NoError(t, err)
			before.Ports, before.Definition = parsed.Ports, parsed.Define()
			view.Known = append(view.Known, before)
			if tc.first {
				before.Created = tc.theirs.Created.Add(-time.Second)
			}
			req.Object.SetCreationTimestamp(metav1.NewTime(before.Created))
		}
		outcome, err := r.Review(t.Context(), stored(t, r, req))
		require.NoError(t, err, name)
		var want []string
		if tc.taken {
			want = []string{"host-taken spec.hosts[0]"}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}

func leaving(entry *egress.Entry) *egress.Entry {
	entry.Terminating = true
	return entry
}

func ofMesh(entry *egress.Entry) *egress.Entry {
	entry.External, entry.Gateway = false, ""
	return entry
}

// TestBelowWildcardsOfTheMesh nobody takes the calls of others, inside or out; those of names that a registry gives out are nobody's.
func TestBelowWildcardsOfTheMesh(t *testing.T) {
	t.Parallel()
	const (
		outside = `location: MESH_EXTERNAL, resolution: DNS`
		inside  = `location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}`
	)
	for name, tc := range map[string]struct {
		wildcard, host, as string
		taken              bool
	}{
		"inside":                 {"*.corp.test", "db.corp.test", inside, true},
		"outside":                {"*.corp.test", "db.corp.test", outside, true},
		"outside, for itself":    {"*.corp.test", "db.corp.test", outside + `, exportTo: ["."]`, false},
		"outside, of a registry": {"*.net", "db.net", outside, false},
		"inside, of a registry":  {"*.net", "db.net", inside, false},
	} {
		r := newReviewer()
		r.View = &egresstest.Cluster{Known: []*egress.Entry{ofMesh(theirs(tc.wildcard, "HTTP", 80))}, Services: r.View.(*egresstest.Cluster).Services}
		outcome, err := reviewed(t, r, create(entry(t, `{hosts: [`+tc.host+`], `+tc.as+`, ports: [{number: 80, name: http, protocol: HTTP}]}`)))
		require.NoError(t, err, name)
		var want []string
		if tc.taken {
			want = []string{"host-taken spec.hosts[0]"}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}

// TestWhoGoesOnCallingByAnother is told to whoever comes second to a host, where that leads elsewhere.
func TestWhoGoesOnCallingByAnother(t *testing.T) {
	t.Parallel()
	const ours = `{hosts: [db.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`
	for name, tc := range map[string]struct {
		theirs *egress.Entry
		told   string
	}{
		"by name":         {ofMesh(theirs("db.example.com", "HTTP", 80, "third")), `spec.hosts[0]: namespace "third" calls host "db.example.com" by ServiceEntry other/theirs, and not by this one, by which their calls would stay in the mesh`},
		"everybody":       {ofMesh(theirs("db.example.com", "HTTP", 80)), `spec.hosts[0]: namespaces without an entry of host "db.example.com" call it by ServiceEntry other/theirs`},
		"itself":          {ofMesh(theirs("db.example.com", "HTTP", 80, ".")), ""},
		"by the same way": {theirs("db.example.com", "HTTP", 80, "third"), ""},
	} {
		r := newReviewer()
		r.View = &egresstest.Cluster{Known: []*egress.Entry{tc.theirs}, Services: r.View.(*egresstest.Cluster).Services}
		outcome, err := reviewed(t, r, create(entry(t, ours)))
		require.NoError(t, err, name)
		told := strings.Join(outcome.Changes, "\n")
		if tc.told == "" {
			assert.NotContains(t, told, "and not by this one", name)
			continue
		}
		assert.Contains(t, told, tc.told, name)
	}
}

// TestHostsOfTheMeshBelowAWildcard take the calls of those alone who see both, and an entry's own namespace may lead its own.
func TestHostsOfTheMeshBelowAWildcard(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		theirs []string
		ours   string
		taken  bool
	}{
		"everybody's":                            {nil, `["*"]`, true},
		"theirs alone, for everybody":            {[]string{"."}, `["*"]`, true},
		"theirs alone, for a third":              {[]string{"."}, "[third]", false},
		"theirs alone, for them":                 {[]string{"."}, "[other]", true},
		"theirs and ours, for everybody":         {[]string{".", "payments"}, `["*"]`, true},
		"theirs and ours, for a third":           {[]string{".", "payments"}, `[".", third]`, false},
		"ours alone, for everybody":              {[]string{"payments"}, `["*"]`, false},
		"everybody's, for itself":                {nil, `["."]`, false},
		"everybody's, for a third":               {nil, "[third]", true},
		"a third's and theirs, for them and its": {[]string{".", "third"}, "[third]", true},
	} {
		r := newReviewer()
		view := &egresstest.Cluster{Known: []*egress.Entry{theirs("*.corp.test", "HTTP", 80, tc.theirs...)}, Services: r.View.(*egresstest.Cluster).Services}
		r.View = view
		outcome, err := reviewed(t, r, create(entry(t, `{hosts: [db.corp.test], exportTo: `+tc.ours+`, location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, ports: [{number: 80, name: http, protocol: HTTP}]}`)))
		require.NoError(t, err, name)
		var want []string
		if tc.taken {
			want = []string{"host-taken spec.hosts[0]"}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}
