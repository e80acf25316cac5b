//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// forbids is an EgressPolicy by which a namespace's stored entry of safe is suspended.
func forbids(namespace, policy, parameters string) string {
	return fmt.Sprintf("---\napiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: e2e-suspends}\n"+
		"spec: {existing: Suspend, match: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}, policy: %s, parameters: %s}\n",
		namespace, policy, parameters)
}

// notHere is what comes of a call to an exit that is suspended.
const notHere = "404 Not Found|" + forbidden + "|" + closed

// TestSuspended: the calls of a stored entry that a policy denies end at the gateway, though nobody applied it again, and go on once
// the policy is gone. Who shares the host by mutual TLS calls on.
func TestSuspended(t *testing.T) {
	for _, tc := range []struct {
		from, other string
		ports       string
		calls       []order
	}{
		{appA, "", withPorts(webOnly), safeCalls[:2]},
		{vaultA, vaultB, safePorts, safeCalls},
	} {
		t.Run(wayOf(tc.from).name, func(t *testing.T) {
			own := shared.decoded(t, tc.from, entry("safe", safe+"'], exportTo: ['.", tc.ports))[0]
			shared.applied(t, tc.from, entry("safe", safe+"'], exportTo: ['.", tc.ports))
			others := tc.calls[:0:0]
			if tc.other != "" {
				shared.applied(t, tc.other, entry("safe", safe+"'], exportTo: ['.", tc.ports))
				others = tc.calls
			}
			arrive := func() {
				t.Helper()
				for _, o := range tc.calls {
					shared.arrives(t, tc.from, o, o.Port, "")
				}
				for _, o := range others {
					shared.arrives(t, tc.other, o, o.Port, "")
				}
			}
			arrive()
			policy := shared.decoded(t, "", forbids(tc.from, "denied-hosts", `{hosts: ['`+safe+`']}`))
			t.Cleanup(func() { shared.deleted(t, policy...) })
			require.NoError(t, shared.apply(t.Context(), policy[0]))
			shared.suspended(t, own)
			for _, o := range tc.calls {
				shared.becomes(t, tc.from, o, notHere)
				shared.refusedSaying(t, tc.from, o, notHere)
			}
			for _, o := range others {
				shared.arrives(t, tc.other, o, o.Port, "")
			}
			shared.deleted(t, policy...)
			shared.exitReady(t, own)
			arrive()
		})
	}
}

// TestAnAllowanceEnds at its hour: nobody applies anything, and the calls end at the gateway.
func TestAnAllowanceEnds(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe, safePorts))
	hour := time.Now().Add(20 * time.Second).UTC()
	shared.applied(t, "", forbids(vaultA, "expiring-hosts", `{hosts: [{host: `+safe+`, until: "`+hour.Format(time.RFC3339)+`"}]}`))
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
	require.True(t, time.Now().Before(hour), "calls arrive before the hour")
	shared.suspended(t, shared.decoded(t, vaultA, entry("safe", safe, safePorts))[0])
	require.True(t, time.Now().After(hour), "and it is not suspended before")
	for _, o := range safeCalls {
		shared.becomes(t, vaultA, o, notHere)
		shared.refusedSaying(t, vaultA, o, notHere)
	}
}
