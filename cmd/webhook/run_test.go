package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/workqueue"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/controller"
)

const configuration = `apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
namespaceSelector: {matchExpressions: [{key: exempt, operator: NotIn, values: ["true"]}]}
gateways:
- name: default
  service: istio-egressgateway.istio-system.svc.cluster.local
  selector: {istio: egressgateway}
  ports: {http: 80, tls: 443}
`

func written(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestABadConfigurationNamesFileAndField(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string][2]string{
		`unknown field "knid"`: {"kind: ", "knid: x\nkind: "},
		"gateways[0].ports: ":  {"http: 80", "http: 443"},
		"namespaceSelector: ":  {"NotIn", "Like"},
		"error converting":     {"gateways:", "gateways"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, configuration, edit[0])
			file := written(t, strings.Replace(configuration, edit[0], edit[1], 1))
			_, err := executed(t, "--namespace=egress-system", "--config="+file)
			require.ErrorContains(t, err, "configuration: "+file+": ")
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestAMissingConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing.yaml")
	_, err := executed(t, "--namespace=egress-system", "--config="+file)
	require.ErrorContains(t, err, "configuration: open "+file)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestAMissingCertificateIsNamed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, err := executed(t, "--namespace=egress-system", "--config="+written(t, configuration), "--cert-mode=files", "--cert-dir="+folder)
	require.ErrorContains(t, err, "serving certificate: open "+filepath.Join(folder, "tls.crt"))
}

// TestMetricsAreForWhomTheAPIServerKnows, where they are to be.
func TestMetricsAreForWhomTheAPIServerKnows(t *testing.T) {
	t.Parallel()
	open, closed := metricsOptions(options{metricsAddress: ":1"}), metricsOptions(options{metricsAddress: ":1", metricsAuth: true})
	assert.False(t, open.SecureServing)
	assert.Nil(t, open.FilterProvider)
	assert.True(t, closed.SecureServing)
	assert.NotNil(t, closed.FilterProvider)
}

// TestNobodyIsAnsweredBeforeDNSCaptureWasAskedFor, where it is to be detected.
func TestNobodyIsAnsweredBeforeDNSCaptureWasAskedFor(t *testing.T) {
	t.Parallel()
	p := parts{synced: func() bool { return true }, policies: &controller.Policies{}, capture: &controller.DNSCapture{}}
	require.ErrorContains(t, p.ready(), "DNS capture")
	p.capture = nil
	require.ErrorContains(t, p.ready(), "policies")
}

// TestASlowStartEndsNoLeader: controllers wait until it is known what is stored, and one whose source did not start in time would end the
// process. Here an hour passes at once.
func TestASlowStartEndsNoLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		worked := 0
		c, err := ctrlcontroller.NewTypedUnmanaged("slow", ctrlcontroller.TypedOptions[string]{
			CacheSyncTimeout: managerOptions(options{}).Controller.CacheSyncTimeout,
			Reconciler: reconcile.TypedFunc[string](func(context.Context, string) (reconcile.Result, error) {
				worked++
				return reconcile.Result{}, nil
			}),
		})
		require.NoError(t, err)
		require.NoError(t, c.Watch(source.TypedFunc[string](func(_ context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
			time.Sleep(59 * time.Minute)
			queue.Add("one")
			return nil
		})))
		ended := make(chan error, 1)
		go func() { ended <- c.Start(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, 1, worked)
		stop()
		require.NoError(t, <-ended)
	})
}
