package reliability

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// clocks has the replicas' own wall clocks set while they run, the leader's first, each for itself, and right again in the same order. By each of
// these clocks every replica looks at its certificate, shakes hands and leads, or does not, as before, and entries have their exits; nobody
// makes a certificate anew.
func clocks(by time.Duration) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		if runtime.GOARCH != "amd64" {
			t.Skip("the wall clock of a process is set on linux/amd64 alone (test/walltime)")
		}
		secret, led := &corev1.Secret{}, &coordinationv1.Lease{}
		require.NoError(t, world.plane.Client.Get(ctx, secretKey, secret))
		require.NoError(t, world.plane.Client.Get(ctx, leaseKey, led))
		pods := slices.Clone(world.pods)
		leader := world.leads(ctx, t)
		slices.SortStableFunc(pods, func(a, b *pod) int { return map[bool]int{true: 1}[b == leader] - map[bool]int{true: 1}[a == leader] })
		for n, differs := range []time.Duration{by, 0} {
			for m, pod := range pods {
				require.NoError(t, pod.running().SetClock(differs))
				looked(ctx, t, pod, differs)
				require.NoError(t, pod.greets(ctx, secret.Data["ca.crt"]))
				if pod == leader {
					require.NoError(t, until(ctx, func() error { return renewed(ctx, differs) }))
				}
				hasExit(ctx, t, 1<<20+n*len(pods)+m)
			}
			time.Sleep(betweenLooks)
		}
		after, leads := &corev1.Secret{}, &coordinationv1.Lease{}
		require.NoError(t, world.plane.Client.Get(ctx, secretKey, after))
		require.NoError(t, world.plane.Client.Get(ctx, leaseKey, leads))
		assert.Equal(t, secret.Data, after.Data, "a sound certificate was made anew")
		assert.Equal(t, led.Spec.HolderIdentity, leads.Spec.HolderIdentity, "another leads")
		assert.Equal(t, led.Spec.LeaseTransitions, leads.Spec.LeaseTransitions)
	}
}

// betweenLooks is how long a replica that does not lead takes at most until it looks at the lease again.
const betweenLooks = 5 * time.Second

// leaseKey names the lease of whoever leads.
var leaseKey = client.ObjectKey{Namespace: controlplane.Namespace, Name: controlplane.Release}

// looked has somebody touch the Secret of the certificate, and waits until a replica has looked at it by its clock: it finds the certificate sound, and
// serves it.
func looked(ctx context.Context, t *testing.T, of *pod, differs time.Duration) {
	t.Helper()
	at := time.Now().Add(differs).Truncate(time.Second)
	secret := &corev1.Secret{}
	require.NoError(t, until(ctx, func() error {
		if err := world.plane.Client.Get(ctx, secretKey, secret); err != nil {
			return err
		}
		secret.Annotations = map[string]string{"touched": time.Now().String()}
		return world.plane.Client.Update(ctx, secret)
	}))
	require.NoError(t, until(ctx, func() error {
		said, err := of.said(at)
		for _, line := range []string{"no cert refresh needed", "Serving the certificate of the Secret"} {
			if !slices.Contains(said, line) {
				return errors.Join(fmt.Errorf("%s does not say from %s on: %s", of.options.Name, at, line), err)
			}
		}
		return nil
	}))
}

// said returns what a replica has logged at a time by its clock, or within a minute after.
func (p *pod) said(at time.Time) (out []string, err error) {
	raw, err := os.ReadFile(filepath.Join(world.logs, p.options.Name+".log"))
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		var line struct {
			TS  time.Time
			Msg string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && !line.TS.Before(at) && line.TS.Before(at.Add(time.Minute)) {
			out = append(out, line.Msg)
		}
	}
	return out, nil
}

// sessions are the API server's, as it were, by which it resumes what it began under another clock.
var sessions = tls.NewLRUClientSessionCache(0)

// greets returns why a replica cannot be called as the API server calls it, by a new connection.
func (p *pod) greets(ctx context.Context, authority []byte) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: serviceName, ClientSessionCache: sessions, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", p.running().Address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// renewed returns why the lease was not renewed by such a clock.
func renewed(ctx context.Context, differs time.Duration) error {
	lease := &coordinationv1.Lease{}
	if err := world.plane.Client.Get(ctx, leaseKey, lease); err != nil {
		return err
	}
	if renewed := lease.Spec.RenewTime; renewed == nil || time.Until(renewed.Add(-differs)).Abs() > time.Minute {
		return fmt.Errorf("the lease was renewed at %s", renewed)
	}
	return nil
}

// hasExit has an entry of its own come and have its exit.
func hasExit(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	entry := entry(tenants[0], n, 0)
	require.NoError(t, world.plane.Client.Create(ctx, entry))
	require.NoError(t, until(ctx, func() error {
		if err := world.plane.Client.Get(ctx, client.ObjectKeyFromObject(entry), entry); err != nil {
			return err
		}
		if ready := controlplane.ConditionOf(entry, "ExitReady", "status"); ready != "True" {
			return fmt.Errorf("ExitReady is %q", ready)
		}
		return nil
	}))
	require.NoError(t, world.plane.Client.Delete(ctx, entry))
}
