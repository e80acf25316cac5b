//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/proof"
)

const cases = "../routing/cases"

// packetCases are those of test/routing whose calls are made here.
func packetCases() (out []*proof.Case, err error) {
	all, err := proof.Load(cases)
	for _, each := range all {
		if each.Packets {
			out = append(out, each)
		}
	}
	return out, err
}

// casedNames are the hosts of their calls.
func casedNames() ([]string, error) {
	all, err := packetCases()
	out := map[string]bool{}
	for _, each := range all {
		for _, call := range each.Calls {
			out[call.Target().Host] = true
			for _, exit := range call.Exits() {
				if host, _, err := net.SplitHostPort(exit); err == nil && !isAddress(host) {
					out[host] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(out)), err
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// TestCases makes the calls of routing cases: each arrives from the gateway at the server that it must be led to, or nowhere.
func TestCases(t *testing.T) {
	all, err := packetCases()
	require.NoError(t, err)
	families := map[string]bool{}
	for _, each := range all {
		families[each.Family] = true
		for _, by := range each.By() {
			t.Run(each.Family+"/"+each.Name+"/"+by, func(t *testing.T) { shared.carried(t, each, by) })
		}
	}
	t.Logf("families: %v", slices.Sorted(maps.Keys(families)))
}

// places has the namespaces of a case, app-a and app-b before others, be those of the clients: by MutualTLS of those that leave
// so.
func places(of *proof.Case, objects []*unstructured.Unstructured, by string) *strings.Replacer {
	clients := []string{appA, appB}
	if by == "MutualTLS" {
		clients = []string{vaultA, vaultB}
	}
	var named, pairs []string
	for _, object := range objects {
		named = append(named, object.GetNamespace())
	}
	for _, call := range of.Calls {
		namespace, _ := call.Caller()
		named = append(named, namespace)
	}
	named = slices.DeleteFunc(named, func(name string) bool { return name == "" || name == plain.namespace || name == appA || name == appB })
	if text := fmt.Sprint(objects, of.Calls); strings.Contains(text, appB) {
		named = slices.Insert(named, 0, appA, appB)
	} else if strings.Contains(text, appA) {
		named = slices.Insert(named, 0, appA)
	}
	var seen []string
	for _, name := range named {
		if slices.Contains(seen, name) || len(seen) == len(clients) {
			continue
		}
		to := clients[len(seen)]
		seen = append(seen, name)
		for _, form := range []string{`"namespace":"%s"`, `.%s.svc`, `"%s/`, `/%s/`, `["%s"]`, `,"%s"]`, `["%s",`} {
			pairs = append(pairs, fmt.Sprintf(form, name), fmt.Sprintf(form, to))
		}
	}
	if by == "MutualTLS" {
		pairs = append(pairs, plain.service(), own.service(), plain.namespace, own.namespace, "istio: egressgateway", "istio: "+own.name)
	}
	return strings.NewReplacer(pairs...)
}

// carried applies the manifests of a case and makes its calls, by MutualTLS from the namespaces that leave so.
func (c *cluster) carried(t *testing.T, of *proof.Case, by string) {
	_, objects, err := of.Objects()
	require.NoError(t, err)
	moved := places(of, objects, by).Replace
	rejected, err := c.rejects(t.Context())
	require.NoError(t, err)
	refused := map[string]string{}
	for _, each := range of.Refused {
		if proof.Concerns(each.Transports, by) {
			refused[moved(each.Object)] = each.Code
		}
	}
	var entries []*unstructured.Unstructured
	for _, written := range objects {
		raw, err := written.MarshalJSON()
		require.NoError(t, err)
		object := c.decoded(t, "", moved(string(raw)))[0]
		if object.GetKind() == "Service" {
			// Its address is of another cluster.
			unstructured.RemoveNestedField(object.Object, "spec", "clusterIP")
		}
		t.Cleanup(func() { c.deleted(t, object) })
		err = c.apply(t.Context(), object)
		if code := refused[proof.NameOf(object)]; code != "" && err != nil {
			require.ErrorContains(t, err, code)
			continue
		}
		require.NoError(t, err, proof.NameOf(object))
		if object.GetKind() == "ServiceEntry" {
			entries = append(entries, object)
		}
	}
	for _, entry := range entries {
		c.exitReady(t, entry)
	}
	for _, call := range of.Calls {
		if proof.Concerns(call.Transports, by) {
			c.ends(t, strings.Trim(moved("/"+call.From+"/"), "/"), call)
		}
	}
	direct, _, err := c.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
	now, err := c.rejects(t.Context())
	require.NoError(t, err)
	require.Equal(t, rejected, now, "a proxy rejected its configuration")
}

// ends requires that a call ends as its case says.
func (c *cluster) ends(t *testing.T, from string, call proof.Call) {
	t.Helper()
	o := orderOf(call)
	if call.Ends == proof.Blocked {
		c.fails(t, from, o)
		return
	}
	require.Equal(t, proof.AtGateway, call.Ends, "packets show no other end")
	gateways, err := c.gateways(t.Context(), wayOf(from))
	require.NoError(t, err)
	want := map[string]bool{}
	for _, exit := range call.Exits() {
		host, port, err := net.SplitHostPort(exit)
		require.NoError(t, err)
		want[serverOf(host)+":"+port] = true
	}
	reached := map[string]bool{}
	var got answer
	err = until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		if got, err = c.call(ctx, from, o); err != nil || got.Error != "" {
			return false, nil
		}
		if !slices.Contains(gateways, got.Caller) {
			return false, fmt.Errorf("%s from %s came from %s, the gateway is %v", o, from, got.Caller, gateways)
		}
		if at := got.Server + ":" + strconv.Itoa(got.Port); want[at] {
			reached[at] = true
		}
		return len(reached) == len(want), nil
	})
	require.NoError(t, err, "%s from %s must reach %v, and reached %v: %+v", o, from, want, reached, got)
	// Once all routes are known, none leads elsewhere.
	for range 5 {
		got, err := c.call(t.Context(), from, o)
		require.NoError(t, err)
		require.True(t, want[got.Server+":"+strconv.Itoa(got.Port)], "%s from %s: %+v", o, from, got)
		if call.Encrypted {
			require.NotEmpty(t, got.SNI, "%s leaves encrypted", o)
		}
	}
}

// orderOf is how an app makes a call, by the protocol that the servers speak on the port.
func orderOf(call proof.Call) order {
	target := call.Target()
	out := order{Protocol: string(target.Protocol), Host: target.Host, Port: target.Port}
	switch target.Port {
	case 50051:
		out.Protocol = "grpc"
	case 8081:
		out.Protocol = "h2c"
	case 6379:
		out.Protocol = "echo"
	}
	return out
}
