//go:build e2e

package e2e

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestUpgrade goes from each earlier version to this one and back, old and new replicas side by side, and loses nothing: no apply and no
// call.
func TestUpgrade(t *testing.T) {
	raw, err := os.ReadFile(os.Getenv("BEFORE"))
	require.NoError(t, err, "BEFORE must name what cluster/before.sh wrote")
	installed := filepath.Join(t.TempDir(), "installed.yaml")
	require.NoError(t, os.WriteFile(installed, shared.helm(t.Context(), t, "get", "values", release, "--output", "yaml"), 0o600))
	t.Cleanup(func() { shared.upgrade(t, installed) })
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		require.Len(t, fields, 3)
		t.Run("from "+fields[0], func(t *testing.T) {
			before := earlier(t, fields[2])
			shared.upgradeTo(t, fields[1], installed, before)
			entry := shared.decoded(t, appA, entry("earlier", "earlier.partner.test", webPorts))[0]
			t.Cleanup(func() { shared.deleted(t, entry) })
			shared.serves(t, entry)
			for _, l := range legs {
				shared.applied(t, l.from[0], l.entry("resolution: DNS"))
				shared.works(t, l)
			}
			var counts []func() (int64, int64)
			for _, l := range legs {
				counts = append(counts, shared.callWithoutPause(t, l))
			}
			stop := shared.applyWithoutPause(t)
			up := shared.beside(t, fields[2])
			shared.upgrade(t, installed)
			require.NotEmpty(t, up(), "old and new replicas are never ready at a time")
			shared.storedSoon(t, entry)
			shared.exitReady(t, entry)
			back := shared.beside(t, fields[2])
			shared.upgradeTo(t, fields[1], installed, before)
			require.NotEmpty(t, back(), "new and old replicas are never ready at a time")
			sent, failed := stop()
			var made, lost int64
			for _, count := range counts {
				all, answered := count()
				made, lost = made+all, lost+all-answered
			}
			t.Logf("from %s up and back: %d applies, %d failed; %d calls, %d failed", fields[0], sent, len(failed), made, lost)
			assert.Zero(t, lost, "calls failed")
			assert.NoError(t, errors.Join(failed...))
		})
	}
}

// beside watches the replicas until the returned function is called, which returns the other images whose replicas were ready together with
// those of one.
func (c *cluster) beside(t *testing.T, image string) func() []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := map[string]bool{}
	var group sync.WaitGroup
	group.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(poll) {
			now := c.images(ctx)
			if now[image] {
				maps.Copy(seen, now)
			}
		}
	})
	stop := func() []string {
		cancel()
		group.Wait()
		delete(seen, image)
		return slices.Sorted(maps.Keys(seen))
	}
	t.Cleanup(func() { stop() })
	return stop
}

// images are those of the replicas that are ready.
func (c *cluster) images(ctx context.Context) map[string]bool {
	out, pods := map[string]bool{}, &corev1.PodList{}
	if c.List(ctx, pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": release}) != nil {
		return nil
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.DeletionTimestamp == nil && ready(pod) {
			out[pod.Spec.Containers[0].Image] = true
		}
	}
	return out
}

// earlier are values by which an image of the engine is run.
func earlier(t *testing.T, image string) string {
	t.Helper()
	repository, tag, _ := strings.Cut(image, ":")
	raw, err := yaml.Marshal(map[string]any{"image": map[string]any{"repository": repository, "tag": tag}, "podAnnotations": map[string]any{"image": image}})
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "earlier.yaml")
	require.NoError(t, os.WriteFile(out, raw, 0o600))
	return out
}
