package review

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestAnExitChangesUnderAgreementOnly: what several entries share, none of them moves; and what is stored already keeps
// nobody from writing what makes it no worse.
func TestAnExitChangesUnderAgreementOnly(t *testing.T) {
	t.Parallel()
	const (
		asAll = `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`
		moved = `{hosts: [api.example.com], resolution: STATIC, endpoints: [{address: 198.51.100.66}],
			ports: [{number: 443, name: tls, protocol: TLS}]}`
		ports = `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, targetPort: 8443, name: tls, protocol: TLS}]}`
		more  = `{hosts: [api.example.com, new.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`
	)
	tls := egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	at := func(second int64, namespace, name, gateway string) *egress.Entry {
		out := egresstest.Sealed("api.example.com", tls)
		out.Namespace, out.Name, out.Gateway, out.Created = namespace, name, gateway, time.Unix(second, 0)
		return out
	}
	ours := func(second int64) *egress.Entry { return at(second, "payments", "x", "default") }
	otherwise := at(5, "other", "y", "default")
	otherwise.Definition = (&egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{{Number: 8443, Name: "tls", Protocol: "TLS"}}}).Define()
	web := at(2, "other", "y", "default")
	web.Definition = (&egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{{Number: 80, Name: "http", Protocol: "HTTP"}}}).Define()
	for name, tc := range map[string]struct {
		known    []*egress.Entry
		old, new string
		want     string
	}{
		"the owner moves it under another":       {[]*egress.Entry{ours(1), at(2, "other", "y", "default")}, asAll, moved, "other/y"},
		"the owner changes a port":               {[]*egress.Entry{ours(1), at(2, "other", "y", "default")}, asAll, ports, "other/y"},
		"under one of another gateway's clients": {[]*egress.Entry{ours(1), at(2, "other", "y", "pci")}, asAll, moved, "other/y"},
		"its own port, beside another's":         {[]*egress.Entry{ours(1), web}, asAll, ports, ""},
		"endpoints that are also another's":      {[]*egress.Entry{ours(1), web}, asAll, moved, "other/y"},
		"the owner alone":                        {[]*egress.Entry{ours(1)}, asAll, moved, ""},
		"beside one that is left out already":    {[]*egress.Entry{ours(1), otherwise}, asAll, moved, ""},
		"the owner adds a host":                  {[]*egress.Entry{ours(1), at(2, "other", "y", "default")}, asAll, more, ""},
		"a later one":                            {[]*egress.Entry{at(1, "other", "y", "default"), ours(2)}, asAll, moved, "other/y"},
		"a loser writes what it had":             {[]*egress.Entry{otherwise, ours(9)}, asAll, asAll, ""},
		"a loser makes it worse":                 {[]*egress.Entry{otherwise, ours(9)}, asAll, moved, "other/y"},
	} {
		r := &Reviewer{Mesh: egresstest.TwoGateways(), View: &egresstest.Cluster{Known: tc.known}, Policies: &policies{}}
		req := create(entry(t, tc.new))
		req.Operation, req.Old = Update, stored(t, r, create(entry(t, tc.old))).Object
		outcome, err := r.Review(t.Context(), stored(t, r, req))
		require.NoError(t, err, name)
		if tc.want == "" {
			assert.Empty(t, codes(outcome), name)
			continue
		}
		if assert.Equal(t, []string{"host-conflict spec.hosts[0]"}, codes(outcome), name) {
			assert.Contains(t, outcome.Findings[0].Message, tc.want, name)
		}
	}
}

// TestWhatIsStoredMayBeWritten: what stands against an entry and was there before keeps nobody from writing its metadata.
func TestWhatIsStoredMayBeWritten(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{}
	r := &Reviewer{Mesh: egresstest.TwoGateways(), View: view, Policies: &policies{}}
	req := stored(t, r, create(entry(t, `{hosts: [api.example.com], exportTo: ["*"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`)))
	rule := r.Mesh.ReadRule(destinationRule(t, `{host: api.example.com, subsets: [{name: v1, labels: {v: a}}]}`))
	rule.Namespace = egresstest.Namespace
	view.Rules = append(view.Rules, rule)
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, []string{"other-gateway spec.exportTo[0]", "subset-labels spec.hosts[0]"}, codes(outcome))
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	req.Object.SetAnnotations(map[string]string{"note": "new", hop.IntentAnnotation: req.Object.GetAnnotations()[hop.IntentAnnotation]})
	outcome, err = r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
}

// TestAnEntryWhoseNameIsYetToBeGenerated is held against those of its namespace too.
func TestAnEntryWhoseNameIsYetToBeGenerated(t *testing.T) {
	t.Parallel()
	known := egresstest.Sealed("api.example.com", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{Known: []*egress.Entry{known}}, Policies: &policies{}}
	in := entry(t, `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: http, protocol: HTTP}]}`)
	in.SetName("")
	in.SetGenerateName("api-")
	outcome, err := r.Review(t.Context(), stored(t, r, create(in)))
	require.NoError(t, err)
	assert.Equal(t, []string{"host-conflict spec.hosts[0]"}, codes(outcome))
}

// TestEntriesOfOneNamespaceThatIstioWouldNotJoin are refused to whoever makes them so.
func TestEntriesOfOneNamespaceThatIstioWouldNotJoin(t *testing.T) {
	t.Parallel()
	const http = `{hosts: [api.example.com], resolution: RESOLUTION, ports: [{number: 80, name: http, protocol: HTTP}]}`
	for name, tc := range map[string]struct {
		namespace, resolution string
		labels                map[string]string
		want                  []string
	}{
		"alike":              {egresstest.Namespace, "DNS", nil, nil},
		"other labels":       {egresstest.Namespace, "DNS", map[string]string{"app": "b"}, []string{"split-host spec.hosts[0]"}},
		"another resolution": {egresstest.Namespace, "NONE", nil, []string{"split-host spec.hosts[0]"}},
		"another namespace":  {"other", "NONE", map[string]string{"app": "b"}, nil},
	} {
		theirs := egresstest.Sealed("api.example.com", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		theirs.Namespace, theirs.Resolution = tc.namespace, "DNS"
		r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{Known: []*egress.Entry{theirs}}, Policies: &policies{}}
		in := entry(t, strings.ReplaceAll(http, "RESOLUTION", tc.resolution))
		in.SetLabels(tc.labels)
		outcome, err := r.Review(t.Context(), stored(t, r, create(in)))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}

// TestAHostUnderAWildcard and a wildcard over a host, of different owners: the gateway takes the more specific for
// everyone, so both must mean the same by it.
func TestAHostUnderAWildcard(t *testing.T) {
	t.Parallel()
	tls, http := egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
	theirs := func(host, endpoint string, ports ...egress.Port) *egress.Entry {
		spec := egress.ServiceEntry{Resolution: "DNS", Ports: ports}
		if endpoint != "" {
			spec.Endpoints = []egress.Endpoint{{Address: endpoint}}
		}
		out := egresstest.Sealed(host, ports...)
		out.Namespace, out.Name, out.Definition = "other", "theirs", spec.Define()
		return out
	}
	const bothPorts = "ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}]"
	for name, tc := range map[string]struct {
		theirs *egress.Entry
		spec   string
		want   []string
	}{
		"a host that is itself":         {theirs("*.good.test", "www.good.test", tls, http), "{hosts: [api.good.test], resolution: DNS, " + bothPorts + "}", nil},
		"a host that leads elsewhere":   {theirs("*.good.test", "www.good.test", tls, http), "{hosts: [api.good.test], resolution: DNS, endpoints: [{address: evil.test}], " + bothPorts + "}", []string{"host-overlap spec.hosts[0]"}},
		"a host on other ports":         {theirs("*.good.test", "www.good.test", tls), "{hosts: [api.good.test], resolution: DNS, ports: [{number: 8443, name: tls, protocol: TLS}]}", []string{"host-overlap spec.hosts[0]"}},
		"a host of another family":      {theirs("*.test", "www.good.test", tls), "{hosts: [api.good.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}", nil},
		"a host without their HTTP":     {theirs("*.good.test", "www.good.test", tls, http), "{hosts: [api.good.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}", []string{"host-overlap spec.hosts[0]"}},
		"a wildcard over a host":        {theirs("api.good.test", "", tls, http), `{hosts: ["*.good.test"], resolution: DNS, endpoints: [{address: www.good.test}], ` + bothPorts + "}", nil},
		"over one that leads elsewhere": {theirs("api.good.test", "evil.test", tls, http), `{hosts: ["*.good.test"], resolution: DNS, endpoints: [{address: www.good.test}], ` + bothPorts + "}", []string{"host-overlap spec.hosts[0]"}},
		"no relation":                   {theirs("*.other.test", "www.other.test", tls), "{hosts: [api.good.test], resolution: DNS, endpoints: [{address: a.test}], " + bothPorts + "}", nil},
	} {
		r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{Known: []*egress.Entry{tc.theirs}}, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, tc.spec))))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
		tc.theirs.Namespace = egresstest.Namespace
		outcome, err = r.Review(t.Context(), stored(t, r, create(entry(t, tc.spec))))
		require.NoError(t, err, name)
		assert.Empty(t, codes(outcome), name+": one's own")
	}
}

// TestOneTLSPortBesideAPlainGateway, whatever the transports of the entries: whoever comes by SNI later would displace them.
func TestOneTLSPortBesideAPlainGateway(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	mesh.Gateways[0].Transport, mesh.Gateways[0].ServiceAccount = egress.MutualTLS, "pci"
	view := &egresstest.Cluster{Mesh: mesh}
	theirs := egresstest.Sealed("mq.example.com", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	theirs.Namespace, theirs.Gateway, theirs.Transport = "cards", "pci", egress.MutualTLS
	view.Known = []*egress.Entry{theirs}
	r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
	for port, want := range map[string][]string{"443": nil, "5671": {"host-conflict spec.hosts[0]"}} {
		outcome, err := r.Review(t.Context(), stored(t, r, pci(entry(t, `{hosts: [mq.example.com], resolution: DNS, ports: [{number: `+port+`, name: tls, protocol: TLS}]}`))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), port)
		if want != nil {
			assert.Equal(t, hop.SecondTLSFix, outcome.Findings[0].Fix, "two ports are no better in one entry")
		}
	}
}
