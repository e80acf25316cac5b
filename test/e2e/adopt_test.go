//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// bank and till are hosts that apps call in clear, and their proxies by TLS, as rules of the app's namespace have it: at the port itself, and at
// one of TLS to which a route leads.
const (
	bank = "bank.partner.test"
	till = "till.partner.test"
)

// TestAdoption: a namespace that lived before anybody governed it is adopted while its app calls without pause, and goes back. No call is
// lost, those neither that the client's proxy encrypts, none goes straight out once it is sealed, a hop that was written by hand is retired
// meanwhile, and nothing is left of what carried calls between two writes.
func TestAdoption(t *testing.T) {
	for _, l := range []struct {
		from, host string
		calls      []order
		// byHand is a hop by which calls of a port go before.
		byHand string
	}{
		{appC, churn, []order{web(churn), webs(churn)}, "guide.partner.test"},
		{vaultD, tide, []order{web(tide), webs(tide)}, ""},
	} {
		t.Run(wayOf(l.from).name, func(t *testing.T) {
			pod := shared.lives(t, l.from)
			manifests := entry("living", l.host+"'], exportTo: ['.", withPorts(webOnly)) +
				entry("bank", bank+"'], exportTo: ['.", withPorts(`{number: 80, targetPort: 443, name: http, protocol: HTTP}`)) +
				rule("bank", `{host: `+bank+`, exportTo: ['.'], trafficPolicy: `+simple+`}`) +
				entry("till", till+"'], exportTo: ['.", withPorts(webOnly)) +
				rule("till", `{host: `+till+`, exportTo: ['.'], trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, insecureSkipVerify: true}}]}}`) +
				virtualService("till", `{hosts: [`+till+`], exportTo: ['.'], http: [{match: [{port: 80}], route: [{destination: {host: `+till+`, port: {number: 443}}}]}]}`)
			if l.byHand != "" {
				manifests += entry("guide", l.byHand+"'], exportTo: ['.', 'istio-system", withPorts(`{number: 80, name: http, protocol: HTTP}`)) +
					strings.NewReplacer("spec:\n", "spec:\n  exportTo: ['.', 'istio-system']\n", "spec: {host: ", "spec: {exportTo: ['.'], host: ").Replace(guide)
			}
			for _, living := range shared.decoded(t, l.from, manifests) {
				require.NoError(t, shared.apply(t.Context(), living))
				t.Cleanup(func() { shared.deleted(t, living) })
			}
			calls, by := slices.Concat(l.calls, []order{web(bank), web(till)}), l.calls
			for _, o := range calls {
				shared.straight(t, l.from, pod, o)
			}
			args := []string{"adopt", "-n", l.from}
			if l.byHand != "" {
				by, calls = append(slices.Clone(by), web(l.byHand)), append(calls, web(l.byHand))
				shared.leaves(t, l.from, web(l.byHand))
				args = append(args, "--retire", filepath.Join(t.TempDir(), "retired.yaml"))
			}
			done := shared.callWithoutPause(t, leg{l.host, wayOf(l.from), [2]string{l.from, l.from}, by})
			encrypting := shared.callWithoutPause(t, leg{bank, wayOf(l.from), [2]string{l.from, l.from}, []order{web(bank), web(till)}})
			run := func(args ...string) {
				if kubeconfig := os.Getenv("KUBECONFIG"); kubeconfig != "" {
					args = append(args, "--kubeconfig", kubeconfig)
				}
				egressctl(t, "", append(args, "--apply", "--rate", "5")...)
			}
			run(args...)
			require.Empty(t, shared.crossings(t))
			for _, o := range calls {
				shared.leaves(t, l.from, o)
			}
			if l.byHand != "" {
				hop := shared.decoded(t, l.from, virtualService("guide", "{}"))[0]
				require.True(t, apierrors.IsNotFound(shared.glass.Get(t.Context(), client.ObjectKeyFromObject(hop), hop)), "it is retired")
			}
			sealed := time.Now()
			// As long as it takes to see some calls.
			for range 20 {
				for _, o := range by {
					shared.arrives(t, l.from, o, o.Port, "")
				}
				shared.arrives(t, l.from, web(bank), 443, "")
				shared.arrives(t, l.from, web(till), 443, "")
			}
			require.Empty(t, shared.since(t, pod, sealed), "straight out once they are sealed")

			shared.labels(t, l.from, `{"egress-governor.io/mode":"Observe"}`)
			run("unseal", l.from)
			require.Empty(t, shared.crossings(t))
			for _, o := range calls {
				shared.straight(t, l.from, pod, o)
			}
			made, answered := done()
			t.Logf("%s: %d calls, %d answered", l.host, made, answered)
			require.Positive(t, made)
			require.Equal(t, made, answered)
			made, answered = encrypting()
			t.Logf("%s and %s, encrypted by the client's proxy: %d calls, %d answered", bank, till, made, answered)
			require.Positive(t, made)
			require.Equal(t, made, answered)
		})
	}
}

// lives has a namespace observed, with an app and its sidecar, as long as the test runs.
func (c *cluster) lives(t *testing.T, namespace string) *corev1.Pod {
	t.Helper()
	c.labels(t, namespace, fmt.Sprintf(`{"egress-governor.io/mode":"Observe",%q:"enabled"}`, injected))
	t.Cleanup(func() { c.labels(t, namespace, fmt.Sprintf(`{"egress-governor.io/mode":null,%q:null}`, injected)) })
	pod := podOf(namespace, "app", probeImage(), "app")
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}
	require.NoError(t, client.IgnoreAlreadyExists(c.Create(t.Context(), account)))
	return c.starts(t, pod)
}

// crossings are the EnvoyFilters that have calls go by gateways while entries and rules are written.
func (c *cluster) crossings(t *testing.T) []unstructured.Unstructured {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(hop.EnvoyFilter.GroupVersion().WithKind("EnvoyFilterList"))
	require.NoError(t, c.glass.List(t.Context(), list, client.HasLabels{hop.CrossingLabel}))
	return list.Items
}

// labels patches those of a namespace.
func (c *cluster) labels(t *testing.T, namespace, labels string) {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":`+labels+`}}`))
	require.NoError(t, c.glass.Patch(context.WithoutCancel(t.Context()), object, patch))
}

// straight requires that a call reaches the outside, and that the pod itself is who calls.
func (c *cluster) straight(t *testing.T, from string, pod *corev1.Pod, o order) {
	t.Helper()
	var got answer
	require.NoError(t, until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		got, err = c.call(ctx, from, o)
		return err == nil && got.Error == "" && got.Caller == pod.Status.PodIP, nil
	}), "%s from %s goes straight: %+v", o, from, got)
}

// leaves waits until a call comes from the client's gateway: its proxy learns of that in its own time.
func (c *cluster) leaves(t *testing.T, from string, o order) {
	t.Helper()
	var got answer
	require.NoError(t, until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		gateways, err := c.gateways(ctx, wayOf(from))
		if err != nil {
			return false, err
		}
		got, err = c.call(ctx, from, o)
		return err == nil && got.Error == "" && slices.Contains(gateways, got.Caller), nil
	}), "%s from %s leaves by its gateway: %+v", o, from, got)
}

// since returns the connections of a pod that arrived outside after a time.
func (c *cluster) since(t *testing.T, pod *corev1.Pod, at time.Time) (out []connection) {
	t.Helper()
	seen, err := c.seen(t.Context())
	require.NoError(t, err)
	for _, connection := range seen.Connections {
		if connection.Caller == pod.Status.PodIP && connection.At.After(at) {
			out = append(out, connection)
		}
	}
	return out
}
