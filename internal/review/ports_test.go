package review

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// byMutualTLS returns a reviewer of a mesh whose gateway is reached by mutual TLS.
func byMutualTLS(view *egresstest.Cluster) *Reviewer {
	mesh := egresstest.Mesh()
	mesh.Gateways[0].Transport = egress.MutualTLS
	view.Mesh = mesh
	return &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
}

// theirs returns an entry of another namespace, carried by mutual TLS, that its namespaces see; everybody without any.
func theirs(host, protocol string, number uint32, exportTo ...string) *egress.Entry {
	out := egresstest.Sealed(host, egress.Port{Number: number, Name: "p", Protocol: protocol})
	out.Namespace, out.Name, out.ExportTo, out.Resolution, out.Transport = "other", "theirs", exportTo, "DNS", egress.MutualTLS
	return out
}

func onPort(protocol, more string) string {
	return fmt.Sprintf(`{hosts: [db.example.com], resolution: DNS, %s ports: [{number: 5432, name: p, protocol: %s}]}`, more, protocol)
}

// TestPortsThatASidecarCannotTellApart are refused to the second comer, each with a fix that helps; what Istio tells apart is
// allowed, with a warning where a server would have to wait for its client.
func TestPortsThatASidecarCannotTellApart(t *testing.T) {
	t.Parallel()
	const (
		taken   = "tcp-port-taken spec.ports[0].number"
		static  = `resolution: STATIC, endpoints: [{address: 203.0.113.7}], addresses: [203.0.113.7/32],`
		capture = "capture DNS"
		number  = "targetPort 5432"
	)
	elsewhere := theirs("b.example.com", "TCP", 5432)
	elsewhere.Addresses = []string{"203.0.113.7"}
	bare := theirs("b.example.com", "TCP", 5432)
	bare.Labels = map[string]string{"networking.istio.io/enable-autoallocate-ip": "false"}
	own := theirs("b.example.com", "TCP", 5432, ".")
	own.Gateway, own.Transport, own.External = "", "", false
	for name, tc := range map[string]struct {
		other    *egress.Entry
		spec     string
		captures bool
		fixes    []string
		warns    bool
	}{
		"two hosts":                               {other: theirs("b.example.com", "TCP", 5432), spec: onPort("TCP", ""), fixes: []string{capture, number, "resolution STATIC", `set exportTo: ["."] and ask the owners of ServiceEntry other/theirs`}},
		"whatever they are called":                {other: theirs("b.example.com", "MYSQL", 5432), spec: onPort("REDIS", ""), fixes: []string{capture, number}},
		"with addresses of their own":             {other: theirs("b.example.com", "TCP", 5432), spec: onPort("TCP", ""), captures: true},
		"one that is given no address":            {other: bare, spec: onPort("TCP", ""), captures: true},
		"wildcards, which are given none":         {other: theirs("*.b.test", "TCP", 5432), spec: strings.Replace(onPort("TCP", "endpoints: [{address: x.test}],"), "db.example.com", `"*.example.com"`, 1), captures: true, fixes: []string{number}},
		"one host":                                {other: theirs("db.example.com", "TCP", 5432), spec: onPort("TCP", "")},
		"another number":                          {other: theirs("b.example.com", "TCP", 5433), spec: onPort("TCP", "")},
		"whom no client of ours sees":             {other: theirs("b.example.com", "TCP", 5432, "."), spec: onPort("TCP", `exportTo: ["."],`)},
		"our own entry, that everybody's reaches": {other: theirs("b.example.com", "TCP", 5432), spec: onPort("TCP", `exportTo: ["."],`), fixes: []string{"ask the owners of ServiceEntry other/theirs to export it"}},
		"that some client of ours sees":           {other: theirs("b.example.com", "TCP", 5432, "third"), spec: onPort("TCP", ""), fixes: []string{`set exportTo: ["."]`}},
		"that a client of both sees":              {other: theirs("b.example.com", "TCP", 5432, ".", "third"), spec: onPort("TCP", `exportTo: [".", third],`), fixes: []string{`set exportTo: ["."]`}},
		"the server's own address":                {other: theirs("b.example.com", "TCP", 5432), spec: strings.Replace(onPort("TCP", static), "resolution: DNS, ", "", 1)},
		"the same server's address":               {other: elsewhere, spec: strings.Replace(onPort("TCP", static), "resolution: DNS, ", "", 1), fixes: []string{number}},
		"TCP beside HTTP":                         {other: theirs("b.example.com", "HTTP", 5432), spec: onPort("TCP", ""), warns: true},
		"HTTP beside TCP":                         {other: theirs("b.example.com", "TCP", 5432), spec: onPort("HTTP", ""), warns: true},
		"TCP beside TLS":                          {other: theirs("b.example.com", "TLS", 5432), spec: onPort("TCP", ""), warns: true},
		"TCP beside HTTP, with an address":        {other: theirs("b.example.com", "HTTP", 5432), spec: onPort("TCP", ""), captures: true},
		"REDIS, whose client speaks first":        {other: theirs("b.example.com", "HTTP", 5432), spec: onPort("REDIS", "")},
		"MYSQL beside HTTP":                       {other: theirs("b.example.com", "HTTP", 5432), spec: onPort("MYSQL", ""), fixes: []string{capture, number, "resolution STATIC"}},
		"HTTP beside MYSQL":                       {other: theirs("b.example.com", "MYSQL", 5432), spec: onPort("HTTP", ""), fixes: []string{capture, number}},
		"MONGO beside TLS":                        {other: theirs("b.example.com", "TLS", 5432), spec: onPort("MONGO", ""), fixes: []string{"declare protocol TCP"}},
		"TLS beside HTTP":                         {other: theirs("b.example.com", "TLS", 5432), spec: onPort("HTTP", "")},
		"an entry of the mesh beside ours":        {other: own, spec: onPort("TCP", ""), fixes: []string{number}},
		"an entry of no protocol, of the mesh":    {other: theirs("b.example.com", "", 5432), spec: onPort("TCP", ""), fixes: []string{number}},
		"our entry of the mesh, beside a host's": {other: theirs("b.example.com", "TCP", 5432), fixes: []string{number},
			spec: `{hosts: [vm.example.com], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 5432, name: p, protocol: TCP}]}`},
	} {
		view := &egresstest.Cluster{Known: []*egress.Entry{tc.other}, Captures: tc.captures}
		outcome, err := reviewed(t, byMutualTLS(view), create(entry(t, tc.spec)))
		require.NoError(t, err, name)
		if len(tc.fixes) == 0 {
			assert.Empty(t, codes(outcome), name)
			assert.Equal(t, tc.warns, strings.Contains(strings.Join(outcome.Changes, "\n"), "a TCP server that speaks first is not heard"), name)
			continue
		}
		if assert.Equal(t, []string{taken}, codes(outcome), name) {
			finding := outcome.Findings[0]
			assert.Contains(t, finding.Message, `host "`+tc.other.Hosts[0]+`" of ServiceEntry other/theirs`, name)
			for _, fix := range tc.fixes {
				assert.Contains(t, finding.Fix, fix, name)
			}
			if tc.captures {
				assert.NotContains(t, finding.Fix, capture, name)
			}
		}
	}
}

// TestAPortOfAService that Istio takes for HTTP is at every address, and so beside any raw TCP.
func TestAPortOfAService(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{Services: map[string]*egress.Service{
		egresstest.GatewayService:         egresstest.Carrier("HTTP2"),
		"shop.payments.svc.cluster.local": {Ports: []egress.ServicePort{{Number: 5432, Protocol: "HTTP"}}},
		"db.payments.svc.cluster.local":   {Ports: []egress.ServicePort{{Number: 3306, Protocol: "MYSQL"}}},
	}}
	r := byMutualTLS(view)
	outcome, err := reviewed(t, r, create(entry(t, onPort("MYSQL", ""))))
	require.NoError(t, err)
	require.Equal(t, []string{"tcp-port-taken spec.ports[0].number"}, codes(outcome))
	assert.Contains(t, outcome.Findings[0].Message, "Service shop.payments.svc.cluster.local has it as HTTP")
	outcome, err = reviewed(t, r, create(entry(t, strings.Replace(onPort("MYSQL", ""), "5432", "3306", 1))))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "raw TCP of a Service is at the Service's own address")
	outcome, err = reviewed(t, r, create(entry(t, onPort("TCP", ""))))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	assert.Contains(t, strings.Join(outcome.Changes, "\n"), "spec.ports[0]: port 5432 is TCP here and HTTP in Service shop.payments.svc.cluster.local")
}

// TestAPortThatIsTakenAlready keeps nobody from writing the rest, and is not taken from more hosts or clients.
func TestAPortThatIsTakenAlready(t *testing.T) {
	t.Parallel()
	const taken = "tcp-port-taken spec.ports[0].number"
	for name, tc := range map[string]struct {
		old, new string
		want     []string
	}{
		"as it was":        {onPort("TCP", `exportTo: [".", a],`), onPort("TCP", `exportTo: [".", a],`), nil},
		"fewer clients":    {onPort("TCP", `exportTo: [".", a],`), onPort("TCP", `exportTo: ["."],`), nil},
		"another port":     {onPort("TCP", ""), strings.Replace(onPort("TCP", ""), "}]", "}, {number: 80, name: http, protocol: HTTP}]", 1), nil},
		"more clients":     {onPort("TCP", `exportTo: ["."],`), onPort("TCP", `exportTo: [".", a],`), []string{taken}},
		"everybody":        {onPort("TCP", `exportTo: ["."],`), onPort("TCP", ""), []string{taken}},
		"another host":     {strings.Replace(onPort("TCP", ""), "db.", "old.", 1), onPort("TCP", ""), []string{taken}},
		"another protocol": {onPort("HTTP", ""), onPort("TCP", ""), []string{taken}},
	} {
		view := &egresstest.Cluster{}
		r := byMutualTLS(view)
		old := stored(t, r, create(entry(t, tc.old))).Object
		view.Known = []*egress.Entry{theirs("b.example.com", "TCP", 5432)}
		req := create(entry(t, tc.new))
		req.Operation, req.Old = Update, old
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}

// TestAddressesThatNoAppDials: without DNS capture an app dials what DNS says, which is the server's own.
func TestAddressesThatNoAppDials(t *testing.T) {
	t.Parallel()
	static := func(addresses string) string {
		return `{hosts: [db.example.com], exportTo: ["."], resolution: STATIC, addresses: [` + addresses + `], endpoints: [{address: 203.0.113.7}, {address: 203.0.113.8}], ports: [{number: 5432, name: p, protocol: TCP}]}`
	}
	http := strings.Replace(static("240.1.1.1"), "TCP", "HTTP", 1)
	for name, tc := range map[string]struct {
		old, new string
		captures bool
		refused  bool
	}{
		"the server's own":       {new: static("203.0.113.7")},
		"as a range of one":      {new: static("203.0.113.7/32, 203.0.113.8")},
		"another":                {new: static("203.0.113.7, 240.1.1.1"), refused: true},
		"whatever DNS says":      {new: onPort("TCP", "addresses: [240.1.1.1],"), refused: true},
		"answered by the proxy":  {new: onPort("TCP", "addresses: [240.1.1.1],"), captures: true},
		"of HTTP":                {new: http},
		"of TLS":                 {new: strings.Replace(static("240.1.1.1"), "TCP", "TLS", 1), refused: true},
		"TLS at the server's":    {new: strings.Replace(static("203.0.113.7"), "TCP", "TLS", 1)},
		"as it was":              {old: static("240.1.1.1"), new: strings.Replace(static("240.1.1.1"), "{number", "{number: 80, name: http, protocol: HTTP}, {number", 1)},
		"another than it was":    {old: static("240.1.1.1"), new: static("240.1.1.2"), refused: true},
		"raw TCP where was none": {old: http, new: static("240.1.1.1"), refused: true},
	} {
		view := &egresstest.Cluster{Captures: tc.captures}
		r := byMutualTLS(view)
		req := create(entry(t, tc.new))
		if tc.old != "" {
			req.Operation, req.Old = Update, stored(t, r, create(entry(t, tc.old))).Object
		}
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		if !tc.refused {
			assert.Empty(t, codes(outcome), name)
			continue
		}
		if assert.Equal(t, []string{"unreached-address spec.addresses"}, codes(outcome), name) {
			assert.Contains(t, outcome.Findings[0].Message, "address 240.1.1.", name)
		}
	}
}

// TestPlainCarriesNoRawTCP, so that nothing of it is refused for addresses.
func TestPlainCarriesNoRawTCP(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[string][]string{"TCP": nil, "MYSQL": {"tcp-port-taken spec.ports[0].number"}} {
		raw := theirs("b.example.com", protocol, 5432)
		raw.Gateway, raw.Transport = "", ""
		r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{Known: []*egress.Entry{raw}}, Policies: &policies{}}
		outcome, err := reviewed(t, r, create(entry(t, onPort("HTTP", "addresses: [240.1.1.1],"))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), "%s, beside which HTTP is told apart or lost", protocol)
	}
}

// TestAddressesThatNoAppDialsByPlain, where sidecars listen for TLS at the addresses of an entry as well.
func TestAddressesThatNoAppDialsByPlain(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[string][]string{"TLS": {"unreached-address spec.addresses"}, "HTTPS": {"unreached-address spec.addresses"}, "HTTP": nil, "GRPC": nil} {
		r := &Reviewer{Mesh: egresstest.Mesh(), View: &egresstest.Cluster{}, Policies: &policies{}}
		outcome, err := reviewed(t, r, create(entry(t, onPort(protocol, "addresses: [240.1.1.1],"))))
		require.NoError(t, err, protocol)
		assert.Equal(t, want, codes(outcome), protocol)
	}
}

// TestAWildcardThatRoutesNarrow, and that sidecars would know by these routes alone.
func TestAWildcardThatRoutesNarrow(t *testing.T) {
	t.Parallel()
	const wild = `{hosts: ["*.wild.test"], exportTo: [EXPORT], resolution: DNS, endpoints: [{address: www.wild.test}], ports: [{number: 443, name: p, protocol: TLS}]}`
	own, private := strings.Replace(wild, "EXPORT", ".", 1), &egress.Seen{Namespace: "elsewhere", Name: "r", ExportTo: []string{"."}}
	to := &egress.Seen{Namespace: "elsewhere", Name: "r", ExportTo: []string{egresstest.Namespace}}
	for name, tc := range map[string]struct {
		old, new string
		by       *egress.Seen
		refused  bool
	}{
		"seen by others alone":     {new: own, by: private},
		"exported to us":           {new: own, by: to, refused: true},
		"to whom we export":        {new: strings.Replace(wild, "EXPORT", "., elsewhere", 1), by: private, refused: true},
		"without TLS":              {new: strings.Replace(own, "TLS", "HTTP", 1), by: to},
		"as it was, and labels":    {old: own, new: own, by: to},
		"another port than it had": {old: own, new: strings.Replace(own, "443", "8443", 1), by: to, refused: true},
	} {
		view := &egresstest.Cluster{}
		r := byMutualTLS(view)
		req := create(entry(t, tc.new))
		if tc.old != "" {
			req.Operation, req.Old = Update, stored(t, r, create(entry(t, tc.old))).Object
		}
		view.Narrows = map[string][]*egress.Seen{"*.wild.test": {tc.by}}
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		if tc.refused {
			assert.Equal(t, []string{"left-out spec.hosts[0]"}, codes(outcome), name)
		} else {
			assert.Empty(t, codes(outcome), name)
		}
	}
}

// TestAnEntryWithoutRawTCPLooksAtNone of the others, however many they are.
func TestAnEntryWithoutRawTCPLooksAtNone(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{}
	for i := range 5000 {
		other := theirs(fmt.Sprintf("h%d.example.com", i), "HTTP", 5432)
		other.Created = time.Unix(int64(i), 0)
		view.Known = append(view.Known, other)
	}
	view.Known = append(view.Known, theirs("raw.example.com", "TCP", 27017))
	outcome, err := reviewed(t, byMutualTLS(view), create(entry(t, onPort("HTTP", ""))))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	assert.Zero(t, view.OnPorts)
}

// reviewed is a request that was rewritten and reviewed, as admission does.
func reviewed(t *testing.T, r *Reviewer, req Request) (*Outcome, error) {
	t.Helper()
	return r.Review(t.Context(), stored(t, r, req))
}
