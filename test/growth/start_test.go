package growth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// BenchmarkStart has a cluster hold 10,000 sealed entries of distinct hosts and 1,000 EgressPolicies, and no exits, and starts the
// webhook in the memory that the chart gives it: the times are until it is ready, and then, with 10,000 exits to make, until the exit of
// an entry of another namespace stands; the memory is the most until then.
func BenchmarkStart(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
	const entries, policies = 10000, 1000
	root, err := filepath.Abs("../..")
	require.NoError(b, err)
	options := controlplane.InTree(root, "growth")
	options.Bare = true
	options.Values = map[string]any{"config": map[string]any{"maxHostsPerNamespace": 0}}
	for b.Loop() {
		plane, err := controlplane.Start(b.Context(), options)
		require.NoError(b, err)
		b.Cleanup(func() { _ = plane.Stop() })
		for _, name := range []string{"payments", "modest"} {
			require.NoError(b, plane.Client.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		}
		full(b, plane, filepath.Join(options.Folder, "config.yaml"), entries, policies)

		began := time.Now()
		webhook := readied(b, plane)
		b.ReportMetric(time.Since(began).Seconds(), "s-until-ready")
		require.NoError(b, plane.Asked(b.Context()))
		began = time.Now()
		one := entry(0, "one-more.example.com")
		one.Namespace = "modest"
		require.NoError(b, plane.Client.Create(b.Context(), one))
		most := 0.0
		require.Eventually(b, func() bool {
			most = max(most, sum(scrape(b.Context(), b, webhook.Metrics)["process_resident_memory_bytes"], ""))
			return waiting(b, plane.Client, "modest") == 0
		}, within, 100*time.Millisecond)
		b.ReportMetric(time.Since(began).Seconds(), "s-for-one-more")
		b.ReportMetric(most/(1<<20), "MiB-most")
		require.NoError(b, webhook.Signal(syscall.SIGTERM))
		require.Eventually(b, func() bool { return webhook.Ended() != nil }, within, 10*time.Millisecond)
		require.NoError(b, plane.Stop())
	}
}

// readied returns a webhook that is ready.
func readied(b *testing.B, plane *controlplane.ControlPlane) *controlplane.Replica {
	b.Helper()
	out, err := plane.StartReplica(b.Context(), controlplane.ReplicaOptions{
		Name: "webhook", Server: plane.Config.Host, CA: plane.Config.CAData, Args: []string{"--shutdown-delay=0s"},
		// What it sets itself in a container of 512 MiB.
		Under: []string{"env", "GOMEMLIMIT=460MiB"},
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = out.Signal(syscall.SIGKILL) })
	_, port, err := net.SplitHostPort(out.Address)
	require.NoError(b, err)
	number, err := strconv.Atoi(port)
	require.NoError(b, err)
	require.NoError(b, plane.Install(b.Context(), number))
	require.Eventually(b, func() bool {
		require.NoError(b, out.Ended())
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, out.Ready, nil)
		require.NoError(b, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, within, 20*time.Millisecond)
	return out
}

// full stores entries as they are when they are sealed, and policies, with nobody there to judge them.
func full(b *testing.B, plane *controlplane.ControlPlane, file string, entries, policies int) {
	b.Helper()
	require.NoError(b, plane.Install(b.Context(), 1))
	for _, unasked := range []client.Object{&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}} {
		require.NoError(b, plane.Client.DeleteAllOf(b.Context(), unasked))
	}
	configuration, err := config.Load(file)
	require.NoError(b, err)
	mesh, err := configuration.Mesh()
	require.NoError(b, err)
	each(b, entries, func(ctx context.Context, i int) error {
		plain := entry(i, fmt.Sprintf("host-%d.example.com", i))
		plain.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind("ServiceEntry"))
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(plain)
		if err != nil {
			return err
		}
		unstructured.RemoveNestedField(raw, "status")
		sealed, err := hop.Seal(&unstructured.Unstructured{Object: raw}, mesh.Gateways[0], mesh)
		if err != nil {
			return err
		}
		return plane.Client.Create(ctx, sealed)
	})
	each(b, policies, func(ctx context.Context, i int) error {
		return plane.Client.Create(ctx, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("hosts-%d", i)}, Spec: v1alpha1.EgressPolicySpec{
			Match:      v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprint(i)}}},
			Policy:     "allowed-hosts",
			Parameters: &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"hosts": ["*.team-%d.example.com", "api.stripe.com"]}`, i)},
		}})
	})
}

// each does something so many times, eight at once.
func each(b *testing.B, n int, do func(ctx context.Context, i int) error) {
	b.Helper()
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	require.NoError(b, group.Wait())
}
