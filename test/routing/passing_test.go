package routing

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// passing is one namespace's entry of a host on its way between being stored as it was written and two gateways, of which vault is by mutual
// TLS: what the product makes of each step, of which states are put together.
type passing struct {
	t        *testing.T
	mesh     *egress.Mesh
	registry *registry.Registry
	host     string
	// entry and rule are stored, exits by namespace.
	entry *unstructured.Unstructured
	rule  hop.Object
	exits map[string][]hop.Object
}

func newPassing(t *testing.T, first egress.Transport, host string) *passing {
	t.Helper()
	mesh := egresstest.Mesh()
	mesh.Gateways[0].Transport, mesh.Gateways[0].ServiceAccount = first, "istio-egressgateway"
	vault := egress.Gateway{
		Name: "vault", Service: vaultHost, Selector: map[string]string{"istio": vaultGateway}, ServiceAccount: vaultGateway, HTTPPort: 80, TLSPort: 443,
		Transport: egress.MutualTLS, Clients: labels.SelectorFromSet(labels.Set{"egress": "vault"}),
	}
	mesh.Gateways = append([]egress.Gateway{vault}, mesh.Gateways...)
	governed, err := labels.Parse("mode notin (Observe)")
	require.NoError(t, err)
	mesh.Governed, mesh.Observed = governed, labels.Everything()
	out := &passing{t: t, mesh: mesh, registry: registry.New(mesh), host: host, exits: map[string][]hop.Object{}}
	for _, account := range []string{"app-a", "app-b"} {
		out.registry.PutAccount(account, "default")
	}
	return out
}

// labelled has the namespace leave by vault, or by the first gateway, and be observed or not.
func (p *passing) labelled(vault, observed bool) {
	set := map[string]string{}
	if vault {
		set["egress"] = "vault"
	}
	if observed {
		set["mode"] = "Observe"
	}
	p.registry.PutNamespace("app-a", set)
}

// written is the entry as its author wrote it: HTTP, TLS and raw TCP, where its host is no wildcard and by is mutual TLS.
func (p *passing) written(by egress.Transport) *unstructured.Unstructured {
	endpoints, tcp := "", ""
	if egress.IsWildcard(p.host) {
		endpoints = "endpoints: [{address: " + api + "}], "
	}
	if by == egress.MutualTLS {
		tcp = ", {number: 5432, name: tcp, protocol: TCP}"
	}
	return stored(p.t, fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: app-a},
		spec: {hosts: ["%s"], exportTo: ["."], resolution: DNS, %sports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}%s]}}`,
		p.host, endpoints, tcp))
}

// stored is a manifest as clients of an API server read it, whose numbers are whole.
func stored(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	require.NoError(t, err)
	out := &unstructured.Unstructured{}
	require.NoError(t, out.UnmarshalJSON(raw))
	return out
}

// store takes in the entry: sealed to a gateway, or as it was written where the name is empty; held or not.
func (p *passing) store(gateway string, by egress.Transport, held bool) {
	p.t.Helper()
	p.put(p.written(by), gateway, held)
}

// put takes in an entry likewise, as it is given.
func (p *passing) put(object *unstructured.Unstructured, gateway string, held bool) {
	p.t.Helper()
	if gw, is := p.mesh.GatewayByName(gateway); is {
		var err error
		object, err = hop.Seal(object, gw, p.mesh)
		require.NoError(p.t, err)
	}
	if held {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[hop.ExitAnnotation] = hop.ExitHeld
		object.SetAnnotations(annotations)
	}
	p.entry = object
	p.registry.PutEntry(p.registry.Read(object))
}

// exit stores what the gateways are to have, ruled the client rule as it is to be.
func (p *passing) exit() {
	p.t.Helper()
	for _, gw := range p.mesh.Gateways {
		set, err := p.registry.ExitSet(gw.Namespace(), p.host)
		require.NoError(p.t, err)
		p.exits[gw.Namespace()] = set
	}
}

func (p *passing) ruled() {
	spec, gateway := hop.ClientRuleSpec(p.mesh, p.registry, "app-a", p.host)
	p.rule = hop.ClientRule("app-a", p.host, spec, gateway)
}

// state is all that is stored.
func (p *passing) state() string {
	p.t.Helper()
	var out strings.Builder
	out.WriteString(gatewayService + strings.NewReplacer("namespace: ways", "namespace: vault-egress", "name: egress,", "name: vault-egress,", "egressgateway", vaultGateway).Replace(waysService))
	out.WriteString(document(p.t, p.entry.Object))
	if p.rule != nil {
		out.WriteString(document(p.t, p.rule))
	}
	for _, gw := range p.mesh.Gateways {
		out.WriteString(document(p.t, typed(p.t, hop.GatewayObject(gw, gw.Transport))))
		for _, object := range p.exits[gw.Namespace()] {
			out.WriteString(document(p.t, typed(p.t, object)))
		}
	}
	return out.String()
}

// typed has the kind of an object stand in it.
func typed(t *testing.T, object hop.Object) (out map[string]any) {
	t.Helper()
	if untyped, is := object.(*unstructured.Unstructured); is {
		return untyped.Object
	}
	raw, err := json.Marshal(object)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &out))
	out["apiVersion"], out["kind"] = "networking.istio.io/v1", strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1.")
	return out
}

// works says of the calls of a state whether they end at the host by a gateway.
func (p *passing) works(state string, by egress.Transport) map[string]bool {
	p.t.Helper()
	asked, end := p.host, p.host
	if egress.IsWildcard(p.host) {
		asked, end = "one"+p.host[1:], api
	}
	m := newMesh(p.t, p.state())
	out := map[string]bool{
		"http": worksIn(p.t, m, http(asked, 80, end+":80"), state), "tls": worksIn(p.t, m, tls(asked, 443, end+":443"), state),
	}
	if by == egress.MutualTLS && asked == p.host {
		raw := expectation{call: call{namespace: "app-a", host: asked, port: 5432, raw: true}, exit: []string{end + ":5432"}}
		out["tcp"] = worksIn(p.t, m, raw, state)
	}
	return out
}

// throughout requires that all calls of a state work.
func (p *passing) throughout(state string, by egress.Transport) {
	p.t.Helper()
	for call, works := range p.works(state, by) {
		assert.True(p.t, works, "%s: %s", state, call)
	}
}

// TestNoCallIsLostBetweenTheWritesOfAHandover: neither while an entry is sealed by mutual TLS and goes back, nor while it moves to such a
// gateway, from one, or between two: in each state between two writes, in the order in which the controllers write.
func TestNoCallIsLostBetweenTheWritesOfAHandover(t *testing.T) {
	for _, host := range []string{api, "*.example.com"} {
		t.Run("sealed, and back/"+host, func(t *testing.T) {
			p := newPassing(t, egress.Plain, host)
			const by = egress.MutualTLS
			p.labelled(true, false)
			p.store("", by, true)
			p.exit()
			p.ruled()
			require.Nil(t, p.rule, "it would be for calls that lead straight out")
			p.store("vault", by, false)
			p.throughout("sealed, before its rule", by)
			p.ruled()
			require.NotNil(t, p.rule)
			p.throughout("under its rule", by)
			p.exit()
			p.throughout("sealed", by)
			rule := p.rule
			p.rule = nil
			works := p.works("without a passage", by)
			assert.True(t, works["http"])
			assert.False(t, works["tls"] || works["tcp"], "it is what the passage is for")
			p.rule = rule

			p.labelled(true, true)
			p.store("vault", by, true)
			p.exit()
			p.throughout("held, under its rule", by)
			p.ruled()
			require.Nil(t, p.rule)
			p.throughout("held, without", by)
			p.store("", by, true)
			p.exit()
			for _, want := range []string{"http", "tls"} {
				client := newMesh(t, p.state()).sidecar(t, "app-a")
				assert.Nil(t, spoken(t, client, fmt.Sprintf("outbound|%d||%s", map[string]int{"http": 80, "tls": 443}[want], host)), "straight, and in the app's own words")
			}
		})
		t.Run("to mutual TLS, and back/"+host, func(t *testing.T) {
			p := newPassing(t, egress.Plain, host)
			const by = egress.Plain
			p.labelled(false, false)
			p.store("default", by, false)
			p.exit()
			p.throughout("by Plain", by)
			p.labelled(true, false)
			p.exit()
			p.ruled()
			require.Nil(t, p.rule)
			p.throughout("ahead", by)
			p.store("vault", by, false)
			p.throughout("moved, before its rule", by)
			p.ruled()
			require.NotNil(t, p.rule)
			p.throughout("under its rule", by)
			p.exit()
			p.throughout("by MutualTLS", by)

			p.labelled(false, false)
			p.exit()
			p.throughout("back, ahead", by)
			p.ruled()
			require.Nil(t, p.rule)
			p.throughout("back, without its rule", by)
			p.store("default", by, false)
			p.throughout("by Plain, beside what was", by)
			p.exit()
			p.throughout("by Plain again", by)
		})
		t.Run("between two/"+host, func(t *testing.T) {
			p := newPassing(t, egress.MutualTLS, host)
			const by = egress.MutualTLS
			p.labelled(false, false)
			p.store("default", by, false)
			p.exit()
			p.ruled()
			p.throughout("here", by)
			p.labelled(true, false)
			p.exit()
			p.throughout("ahead", by)
			p.ruled()
			p.throughout("under the names of both", by)
			p.store("vault", by, false)
			p.throughout("moved", by)
			p.ruled()
			p.throughout("under the name of one", by)
			p.exit()
			p.throughout("there", by)
			assert.NotContains(t, document(t, p.rule), "istio-egressgateway")
		})
	}
}

// TestAPassageLetsNobodyElseIn, and nowhere else: who may call is said by the door, and the SNI of a host below, of another port
// or of another subset is no name of it.
func TestAPassageLetsNobodyElseIn(t *testing.T) {
	for host, open := range map[string]string{api: "outbound_.443_._." + api, "*.example.com": "outbound_.443_._.*.example.com"} {
		p := newPassing(t, egress.Plain, host)
		p.labelled(true, false)
		p.store("", egress.MutualTLS, true)
		p.exit()
		p.store("vault", egress.MutualTLS, false)
		gateway := newMesh(t, p.state()).routerOf(t, "vault-egress", vaultGateway)
		assert.Empty(t, overlapping(gateway))
		asks := func(caller, sni string) []string {
			c := call{host: host, port: 443, raw: true, mutual: &mutual{"spiffe://cluster.local/ns/" + caller + "/sa/default", sni}}
			found, err := clusters(t, gateway, c, 8443, simulation.CallModeGateway)
			if err != nil {
				return nil
			}
			return found
		}
		assert.Equal(t, []string{"outbound|443||" + host}, asks("app-a", open))
		assert.Empty(t, asks("app-b", open), "who has no entry")
		for _, other := range []string{
			"outbound_.443_._.one." + api, "outbound_.443_._.example.com", "outbound_.444_._." + host, "outbound_.80_._." + host, "outbound_.443_.v1_." + host, "one." + host,
			"outbound_.443_._.one.example.com", "outbound_.1443_._.*.one.example.com",
		} {
			assert.Empty(t, asks("app-a", other), other)
		}
	}
}
