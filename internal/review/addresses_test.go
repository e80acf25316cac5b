package review

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAddressesOfOtherHosts, at which an entry would take calls that are none of its own.
func TestAddressesOfOtherHosts(t *testing.T) {
	t.Parallel()
	const taken = "address-taken spec.addresses[0]"
	inside := func(of string) string {
		return `{hosts: [db.test], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, ports: [{number: 5432, name: p, protocol: TCP}], ` + of + `}`
	}
	outside := func(of string) string {
		return `{hosts: [db.test], resolution: STATIC, ports: [{number: 5432, name: p, protocol: TCP}], ` + of + `}`
	}
	for name, tc := range map[string]struct {
		spec  string
		taken bool
	}{
		"of the mesh's own, an address outside": {inside(`addresses: [203.0.113.7]`), true},
		"to one namespace":                      {inside(`addresses: [203.0.113.7], exportTo: [elsewhere]`), true},
		"to its own":                            {inside(`addresses: [203.0.113.7], exportTo: ["."]`), false},
		"a range to its own":                    {inside(`addresses: [203.0.113.0/24], exportTo: ["."]`), true},
		"a declared address":                    {inside(`addresses: [10.77.0.7, 10.77.8.0/24]`), false},
		"an address that nothing outside has":   {inside(`addresses: [240.0.0.7]`), false},
		"a range that nothing outside has":      {inside(`addresses: [240.240.0.0/16]`), true},
		"of HTTP":                               {strings.Replace(inside(`addresses: [203.0.113.7]`), "TCP", "HTTP", 1), false},
		"the only endpoint's":                   {outside(`addresses: [203.0.113.7], endpoints: [{address: 203.0.113.7}]`), false},
		"one of two endpoints'":                 {outside(`addresses: [203.0.113.7], endpoints: [{address: 203.0.113.7}, {address: 203.0.113.8}]`), true},
		"one of two, to its own":                {outside(`exportTo: ["."], addresses: [203.0.113.7], endpoints: [{address: 203.0.113.7}, {address: 203.0.113.8}]`), false},
	} {
		r := byMutualTLS(&egresstest.Cluster{})
		r.Mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}
		outcome, err := reviewed(t, r, create(entry(t, tc.spec)))
		require.NoError(t, err, name)
		var want []string
		if tc.taken {
			want = []string{taken}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}

// TestAddressesOfOtherHostsInAmbientMode: it goes by the address with all calls, and by no exportTo.
func TestAddressesOfOtherHostsInAmbientMode(t *testing.T) {
	t.Parallel()
	const (
		http     = `{hosts: [db.test], exportTo: ["."], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, addresses: [203.0.113.7], ports: [{number: 80, name: p, protocol: HTTP}]}`
		declared = `10.77.0.7`
		mine     = "payments"
	)
	tcp := strings.Replace(http, "HTTP", "TCP", 1)
	with := func(spec, address string) string { return strings.Replace(spec, "203.0.113.7", address, 1) }
	exported := strings.Replace(http, `exportTo: ["."], `, "", 1)
	for name, tc := range map[string]struct {
		spec, was string
		ambient   []string
		taken     bool
	}{
		"by TCP, to its own namespace":          {spec: tcp, ambient: []string{"other"}, taken: true},
		"by HTTP, to its own namespace":         {spec: http, ambient: []string{"other"}, taken: true},
		"by HTTP, to everybody":                 {spec: exported, ambient: []string{"other"}, taken: true},
		"its own namespace beside":              {spec: http, ambient: []string{mine, "other"}, taken: true},
		"its own namespace alone":               {spec: http, ambient: []string{mine}},
		"its own namespace alone, to everybody": {spec: exported, ambient: []string{mine}},
		"a range to its own namespace":          {spec: with(http, "203.0.113.0/24"), ambient: []string{mine}, taken: true},
		"nobody":                                {spec: exported},
		"a declared address":                    {spec: with(tcp, declared), ambient: []string{"other"}},
		"it was there before":                   {spec: strings.Replace(http, "app: db", "app: queue", 1), was: http, ambient: []string{"other"}},
		"another port of HTTP":                  {spec: strings.Replace(http, "}]}", "}, {number: 8080, name: q, protocol: HTTP}]}", 1), was: http, ambient: []string{"other"}, taken: true},
	} {
		view := egresstest.NewCluster()
		view.Mesh = egresstest.Ambient()
		view.Mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		req := create(entry(t, tc.spec))
		require.Equal(t, mine, req.Namespace.Name)
		view.Namespaces = map[string]map[string]string{mine: nil, "other": nil}
		for _, namespace := range tc.ambient {
			view.Namespaces[namespace] = map[string]string{"istio.io/dataplane-mode": "ambient"}
		}
		req.Namespace.Labels = view.Namespaces[mine]
		if tc.was != "" {
			req.Operation, req.Old = Update, entry(t, tc.was)
		}
		outcome, err := reviewed(t, r, req)
		require.NoError(t, err, name)
		var want []string
		if tc.taken {
			want = []string{"address-taken spec.addresses[0]"}
		}
		assert.Equal(t, want, codes(outcome), name)
	}
}

// TestAddressesThatIstiodGives are nobody's to name: whoever has one by its status would be given another, and lose the calls of those who
// know the first. That holds for whatever is said by the entry: its location, its clients, its ports.
func TestAddressesThatIstiodGives(t *testing.T) {
	t.Parallel()
	const spec = `{hosts: [db.test], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, exportTo: ["."], ports: [{number: 80, name: p, protocol: HTTP}], addresses: [ADDRESS]}`
	outside := strings.NewReplacer("location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}", "resolution: DNS")
	own := types.NamespacedName{Namespace: create(entry(t, spec)).Namespace.Name, Name: entry(t, spec).GetName()}.String()
	view := &egresstest.Cluster{Captures: true, Given: map[netip.Addr][]string{
		netip.MustParseAddr("240.240.0.5"): {"victim/db"}, netip.MustParseAddr("10.200.0.5"): {"victim/db"}, netip.MustParseAddr("10.200.0.6"): {own},
	}}
	for address, says := range map[string]string{
		"240.240.0.5": "victim/db", "240.240.0.5/32": "victim/db", `"::ffff:240.240.0.5"`: "victim/db",
		"10.200.0.5": "victim/db", "10.200.0.6": "",
		"240.240.0.9": "240.240.0.0/16", "240.240.1.0/24": "is of 240.240.0.0/16", "240.0.0.0/4": "has in it those of 240.240.0.0/16", `"2001:2::f0f0:7"`: "2001:2::/48",
		"240.0.0.9": "", "241.240.0.9": "",
		"240.240.77.9": "",
	} {
		for where, of := range map[string]string{"inside": spec, "outside": outside.Replace(spec)} {
			if where == "outside" && strings.HasSuffix(address, "/4") || where == "outside" && strings.HasSuffix(address, "/24") {
				continue // a gateway takes no range
			}
			r := byMutualTLS(view)
			r.Mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("240.240.77.0/24")}
			now := create(entry(t, strings.Replace(of, "ADDRESS", address, 1)))
			outcome, err := reviewed(t, r, now)
			require.NoError(t, err, address)
			if says == "" {
				assert.Empty(t, codes(outcome), "%s, %s", address, where)
				continue
			}
			require.Equal(t, []string{"address-taken spec.addresses[0]"}, codes(outcome), "%s, %s", address, where)
			assert.Contains(t, outcome.Findings[0].Message, says)
			again := create(entry(t, strings.Replace(strings.Replace(of, "ADDRESS", address, 1), "[db.test]", "[db.test, other.test]", 1)))
			again.Operation, again.Old = Update, now.Object
			outcome, err = reviewed(t, r, again)
			require.NoError(t, err, address)
			assert.NotContains(t, codes(outcome), "address-taken spec.addresses[0]", "%s, %s: it was stored before anybody looked", address, where)
		}
	}
}

// TestCallsForAnAddressAreTold where a gateway would look for a host in them.
func TestCallsForAnAddressAreTold(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][2]bool{ // by Plain, by MutualTLS
		`addresses: [198.51.100.1/32], ports: [{number: 80, name: p, protocol: HTTP}]`: {true, true},
		`addresses: [198.51.100.1], ports: [{number: 443, name: p, protocol: TLS}]`:    {true, false},
		`addresses: [240.0.0.1], ports: [{number: 80, name: p, protocol: HTTP}]`:       {},
		`ports: [{number: 80, name: p, protocol: HTTP}]`:                               {},
	} {
		spec = `{hosts: [partner.test], resolution: STATIC, endpoints: [{address: 198.51.100.1}], ` + spec + `}`
		for i, r := range []*Reviewer{newReviewer(), byMutualTLS(&egresstest.Cluster{})} {
			outcome, err := reviewed(t, r, create(entry(t, spec)))
			require.NoError(t, err)
			said := strings.Join(outcome.Changes, "\n")
			assert.Equal(t, want[i], strings.Contains(said, "for 198.51.100.1 itself fail there; let apps call partner.test by its name"), "%s: %s", spec, said)
		}
	}
}
