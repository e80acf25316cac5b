package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAddressesThatAreTakenAlready keep nobody from writing the rest, and take no more: they were stored before anybody looked.
func TestAddressesThatAreTakenAlready(t *testing.T) {
	t.Parallel()
	const (
		ends   = `endpoints: [{address: 203.0.113.7}, {address: 203.0.113.8}]`
		was    = `{hosts: [db.test], exportTo: ["*"], resolution: STATIC, addresses: [203.0.113.7, 203.0.113.8], ` + ends + `, ports: [{number: 5432, name: p, protocol: TCP}]}`
		inside = `{hosts: [db.test], exportTo: [TO], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, addresses: [203.0.113.7], ports: [{number: 5432, name: p, protocol: TCP}]}`
	)
	with := func(spec, was, is string) string {
		require.Contains(t, spec, was)
		return strings.Replace(spec, was, is, 1)
	}
	for name, tc := range map[string]struct {
		old, new string
		taken    string
		// moves says that the namespace leaves by another gateway now, straight that the old entry was not sealed.
		moves, straight bool
		plain           bool
	}{
		"a port of HTTP":          {old: was, new: with(was, "}]}", "}, {number: 80, name: http, protocol: HTTP}]}")},
		"another name":            {old: was, new: with(was, "name: p", "name: other")},
		"another gateway":         {old: with(was, `["*"]`, "[other]"), new: with(was, `["*"]`, "[other]"), moves: true},
		"that was not sealed":     {old: was, new: was, straight: true},
		"less of it":              {old: was, new: with(was, ", 203.0.113.8]", "]")},
		"to its own":              {old: was, new: with(was, `["*"]`, `["."]`)},
		"to fewer":                {old: was, new: with(was, `["*"]`, `[other]`)},
		"another port":            {old: was, new: with(was, "}]}", "}, {number: 443, name: tls, protocol: TLS}]}"), taken: "spec.addresses[0]"},
		"another protocol":        {old: with(was, "TCP", "HTTP"), new: was, taken: "spec.addresses[0]"},
		"another endpoint":        {old: with(was, "8}]", "9}]"), new: was, taken: "spec.addresses[0]"},
		"an endpoint more":        {old: with(with(was, ", 203.0.113.8]", "]"), ", {address: 203.0.113.8}", ""), new: with(was, ", 203.0.113.8]", "]"), taken: "spec.addresses[0]"},
		"another address":         {old: with(was, ", 203.0.113.8]", "]"), new: was, taken: "spec.addresses[1]"},
		"more clients":            {old: with(was, `["*"]`, `[other]`), new: was, taken: "spec.addresses[0]"},
		"by Plain before":         {old: with(was, "TCP", "TLS"), new: with(was, "TCP", "TLS"), plain: true, taken: "spec.addresses[0]"},
		"inside, a port of HTTP":  {old: inside, new: with(inside, "}]}", "}, {number: 80, name: http, protocol: HTTP}]}")},
		"inside, other workloads": {old: inside, new: with(inside, "app: db", "app: queue")},
		"inside, another port":    {old: inside, new: with(inside, "}]}", "}, {number: 443, name: tls, protocol: TLS}]}"), taken: "spec.addresses[0]"},
		"inside, more clients":    {old: with(inside, "[TO]", `["."]`), new: inside, taken: "spec.addresses[0]"},
		"inside, from outside":    {old: was, new: inside, taken: "spec.addresses[0]"},
	} {
		view := &egresstest.Cluster{}
		r := byMutualTLS(view)
		req := create(entry(t, strings.Replace(tc.new, "TO", "other", 1)))
		if tc.moves {
			view.Mesh = egresstest.TwoGateways()
			for i := range view.Mesh.Gateways {
				view.Mesh.Gateways[i].Transport = egress.MutualTLS
			}
			r.Mesh, req.Namespace.Labels = view.Mesh, map[string]string{"egress": "pci"}
		}
		before := create(entry(t, strings.Replace(tc.old, "TO", "other", 1)))
		if tc.plain {
			r.Mesh.Gateways[0].Transport = egress.Plain
		}
		if req.Operation, req.Old = Update, before.Object; !tc.straight {
			req.Old = stored(t, r, before).Object
		}
		r.Mesh.Gateways[0].Transport = egress.MutualTLS
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		var want []string
		if tc.taken != "" {
			want = []string{"address-taken " + tc.taken}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}

// TestAnAddressThatIsNarrowedAlready: a TLS route by the name of its host stood beside it before anybody looked.
func TestAnAddressThatIsNarrowedAlready(t *testing.T) {
	t.Parallel()
	const was = `{hosts: [db.test], exportTo: [other], resolution: STATIC, addresses: [203.0.113.7], endpoints: [{address: 203.0.113.7}], ports: [{number: 443, name: p, protocol: TLS}]}`
	with := func(part, is string) string {
		require.Contains(t, was, part)
		return strings.Replace(was, part, is, 1)
	}
	for name, tc := range map[string]struct{ old, new, want string }{
		"a port of HTTP":   {was, with("}]}", "}, {number: 80, name: http, protocol: HTTP}]}"), ""},
		"another endpoint": {was, with("endpoints: [", "endpoints: [{address: 203.0.113.9}, "), ""},
		"without it":       {with("addresses: [203.0.113.7], ", ""), was, "left-out spec.addresses[0]"},
		"another address":  {was, with("addresses: [203.0.113.7]", "addresses: [203.0.113.7, 203.0.113.8]"), "left-out spec.addresses[1]"},
		"another port":     {was, with("number: 443", "number: 8443"), "left-out spec.addresses[0]"},
		"another host":     {with("db.test", "old.test"), was, "left-out spec.addresses[0]"},
		"more clients":     {was, with("[other]", "[other, third]"), "left-out spec.addresses[0]"},
	} {
		view := &egresstest.Cluster{Narrows: map[string][]*egress.Seen{"db.test": {{Namespace: "payments", Name: "db"}}}, Captures: true}
		view.Mesh = egresstest.Mesh()
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		req := create(entry(t, tc.new))
		req.Operation, req.Old = Update, stored(t, r, create(entry(t, tc.old))).Object
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, strings.Join(codes(outcome), ", "), name)
	}
}
