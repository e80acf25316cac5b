package egress_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestInternalNeedsProof has every form of the claim that is shown, and those that lead out of the mesh.
func TestInternalNeedsProof(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("127.0.0.0/8")}
	view := egresstest.NewCluster()
	view.Services = map[string]*egress.Service{
		"db.prod.svc.cluster.local": {}, "out.prod.svc.cluster.local": {ExternalName: true}, egresstest.GatewayService: {},
	}
	for name, tc := range map[string]struct{ spec, field string }{
		"a Service":                {`{resolution: DNS, endpoints: [{address: db.prod.svc.cluster.local}]}`, ""},
		"a Service, round robin":   {`{resolution: DNS_ROUND_ROBIN, endpoints: [{address: DB.prod.svc.cluster.local.}]}`, ""},
		"workloads":                {`{resolution: STATIC, workloadSelector: {labels: {app: vm}}}`, ""},
		"a declared range":         {`{resolution: STATIC, endpoints: [{address: 10.8.0.7}, {address: "::ffff:10.8.0.8"}]}`, ""},
		"nothing":                  {`{resolution: DNS}`, "spec.endpoints"},
		"STATIC and nothing":       {`{resolution: STATIC}`, "spec.endpoints"},
		"NONE":                     {`{}`, "spec.resolution"},
		"NONE and workloads":       {`{resolution: NONE, workloadSelector: {labels: {app: nothing}}}`, "spec.resolution"},
		"DYNAMIC_DNS":              {`{resolution: DYNAMIC_DNS, workloadSelector: {labels: {app: nothing}}}`, "spec.resolution"},
		"DNS and workloads":        {`{resolution: DNS, workloadSelector: {labels: {app: nothing}}}`, "spec.resolution"},
		"an empty selector":        {`{resolution: STATIC, workloadSelector: {}}`, "spec.endpoints"},
		"a selector of no label":   {`{resolution: STATIC, workloadSelector: {labels: {}}}`, "spec.endpoints"},
		"an external host":         {`{resolution: DNS, endpoints: [{address: db.prod.svc.cluster.local}, {address: evil.test}]}`, "spec.endpoints[1].address"},
		"a pod's DNS name":         {`{resolution: DNS, endpoints: [{address: 203-0-113-9.default.pod.cluster.local}]}`, "spec.endpoints[0].address"},
		"a Service that is not":    {`{resolution: DNS, endpoints: [{address: x.prod.svc.cluster.local}]}`, "spec.endpoints[0].address"},
		"an ExternalName":          {`{resolution: DNS, endpoints: [{address: out.prod.svc.cluster.local}]}`, "spec.endpoints[0].address"},
		"the egress gateway":       {`{resolution: DNS, endpoints: [{address: ` + egresstest.GatewayService + `}]}`, "spec.endpoints[0].address"},
		"a socket":                 {`{resolution: STATIC, endpoints: [{address: "unix:///tmp/x.cluster.local"}]}`, "spec.endpoints[0].address"},
		"an address outside":       {`{resolution: STATIC, endpoints: [{address: 203.0.113.9}]}`, "spec.endpoints[0].address"},
		"loopback, declared or no": {`{resolution: STATIC, endpoints: [{address: 127.0.0.1}]}`, "spec.endpoints[0].address"},
		"no address":               {`{resolution: STATIC, endpoints: [{}]}`, "spec.endpoints[0].address"},
	} {
		var entry egress.ServiceEntry
		require.NoError(t, yaml.Unmarshal([]byte(tc.spec), &entry), name)
		found := mesh.Internal(&entry, view)
		if tc.field == "" {
			assert.Empty(t, found, name)
			continue
		}
		if assert.Len(t, found, 1, name) {
			assert.Equal(t, "not-internal "+tc.field, found[0].Code+" "+found[0].Field, name)
		}
	}
}

// TestWhatWouldShowIt is said by what the endpoint is: an entry outside the mesh could not have it either.
func TestWhatWouldShowIt(t *testing.T) {
	t.Parallel()
	mesh, view := egresstest.Mesh(), egresstest.NewCluster()
	view.Services = map[string]*egress.Service{
		"db.prod.svc.cluster.local":  {},
		"out.prod.svc.cluster.local": {ExternalName: true, Alias: "out.test"}, "in.prod.svc.cluster.local": {ExternalName: true, Alias: "db.prod.svc.cluster.local"},
		egresstest.GatewayService: {},
	}
	const workloads = "in place of endpoints a workloadSelector"
	for address, want := range map[string]string{
		"x.prod.svc.cluster.local": `apply the Service first, and write "x.prod.svc.cluster.local"`, "X.prod.svc.": `apply the Service first, and write "x.prod.svc.cluster.local"`,
		"db.prod": `write "db.prod.svc.cluster.local"`, "db.prod.svc": `write "db.prod.svc.cluster.local"`,
		"out.prod.svc.cluster.local": `set location MESH_EXTERNAL, and give "out.test"`, "in.prod.svc.cluster.local": `give "db.prod.svc.cluster.local"`,
		egresstest.GatewayService: workloads, "203-0-113-9.default.pod.cluster.local": workloads, "localhost": workloads, "127.0.0.1": workloads, "169.254.169.254": workloads, "": workloads, "unix:///tmp/x": workloads,
		"203.0.113.9": "meshCIDRs", "evil.test": "set location MESH_EXTERNAL",
	} {
		for _, resolution := range []string{"DNS", "STATIC"} {
			found := mesh.Internal(&egress.ServiceEntry{Resolution: resolution, Endpoints: []egress.Endpoint{{Address: address}}}, view)
			require.Len(t, found, 1, address)
			assert.Contains(t, found[0].Fix, want, address)
			_, err := netip.ParseAddr(address)
			if name := err != nil && want != workloads; name {
				assert.Equal(t, resolution == "STATIC", strings.Contains(found[0].Fix, "set resolution DNS"), "%s: %s", address, found[0].Fix)
			}
		}
	}
}

// TestNoHostOfTheClusterIsToldToLeave: it would be refused outside the mesh, too.
func TestNoHostOfTheClusterIsToldToLeave(t *testing.T) {
	t.Parallel()
	mesh, view := egresstest.Mesh(), egresstest.NewCluster()
	view.Services = map[string]*egress.Service{"out.prod.svc.cluster.local": {ExternalName: true, Alias: "out.test"}}
	for name, tc := range map[string]struct {
		entry egress.ServiceEntry
		fix   string
	}{
		"no endpoints": {egress.ServiceEntry{Resolution: "STATIC"}, "workloadSelector"},
		"NONE":         {egress.ServiceEntry{}, "workloadSelector"},
		"an address":   {egress.ServiceEntry{Resolution: "STATIC", Endpoints: []egress.Endpoint{{Address: "203.0.113.9"}}}, "meshCIDRs"},
		"a name":       {egress.ServiceEntry{Resolution: "DNS", Endpoints: []egress.Endpoint{{Address: "evil.test"}}}, "the whole name of a Service"},
		"another name": {egress.ServiceEntry{Resolution: "DNS", Endpoints: []egress.Endpoint{{Address: "out.prod.svc.cluster.local"}}}, "the whole name of a Service"},
	} {
		for host, outside := range map[string]bool{"db.prod.svc.cluster.local": false, "db.example.com": true} {
			tc.entry.Hosts = []string{host}
			found := mesh.Internal(&tc.entry, view)
			require.Len(t, found, 1, name)
			assert.Equal(t, outside, strings.Contains(found[0].Fix, "MESH_EXTERNAL"), "%s of %s: %s", name, host, found[0].Fix)
			if !outside {
				assert.Contains(t, found[0].Fix, tc.fix, name)
			}
		}
	}
}

func TestServiceOfKnowsWhatASearchPathMakes(t *testing.T) {
	t.Parallel()
	view := egresstest.NewCluster()
	view.Services = map[string]*egress.Service{"payments.prod.svc.cluster.local": {}}
	for _, host := range []string{"payments.prod", "Payments.PROD.", "payments.prod.svc", "payments.prod.svc.cluster.local"} {
		assert.Equal(t, "payments.prod.svc.cluster.local", egresstest.Mesh().ServiceOf(host, view), host)
		assert.Equal(t, "payments.prod.svc.cluster.local", egresstest.Mesh().ServiceOf("db-0."+host, view), "a pod of %s", host)
		assert.True(t, egresstest.Mesh().InMesh(host, view), host)
	}
	assert.False(t, egresstest.Mesh().InMesh("db-0.payments.prod", view), "Istio knows no such Service: routes to it lead to whom an entry names")
	for _, host := range []string{"payments.other", "payments.prod.example.com", "payments.prod.com", "prod", "a.b.payments.prod", "db-0.payments.other"} {
		assert.Empty(t, egresstest.Mesh().ServiceOf(host, view), host)
	}
}
