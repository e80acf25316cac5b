package growth

import (
	"context"
	"flag"
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

var (
	entries  = flag.Int("entries", 10000, "how many sealed entries of distinct hosts BenchmarkStart has stored")
	policies = flag.Int("policies", 1000, "how many EgressPolicies")
)

const (
	// memory is what the chart gives the webhook, in MiB; most of it is what the garbage collector keeps to in a container of that.
	memory = 512
	most   = memory * 9 / 10
	// begins bounds how long it may take until it is ready.
	begins = time.Minute
)

// BenchmarkStart has a cluster hold 10,000 sealed entries of distinct hosts and 1,000 EgressPolicies, ten of which judge them, and no
// exits, and starts the webhook in the memory that the chart gives it. The times are until it is ready; then, with 10,000 exits to make,
// until the exit of an entry of another namespace stands, and until all do; and the same of one that is started once they stand. The
// memory is the most until then. None may exceed what the documents say.
func BenchmarkStart(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
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
			require.NoError(b, plane.Client.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "0"}}}))
		}
		full(b, plane, filepath.Join(options.Folder, "config.yaml"))
		first := started(b, plane, "")
		began := time.Now()
		first.until(b, "payments", 5*time.Second)
		b.ReportMetric(time.Since(began).Seconds(), "s-until-all-exits")
		b.ReportMetric(first.most, "MiB-most-until-all-exits")
		first.ends(b)
		started(b, plane, "-with-exits").ends(b)
		require.NoError(b, plane.Stop())
	}
}

// running is a webhook, and the most memory that it was seen to have.
type running struct {
	*controlplane.Replica
	plane *controlplane.ControlPlane
	most  float64
}

// started starts a webhook and reports what it takes until it is ready, and then until one more entry has its exit.
func started(b *testing.B, plane *controlplane.ControlPlane, with string) *running {
	b.Helper()
	began := time.Now()
	out := &running{Replica: readied(b, plane), plane: plane}
	took := time.Since(began)
	b.ReportMetric(took.Seconds(), "s-until-ready"+with)
	require.Less(b, took, begins)
	require.NoError(b, plane.Asked(b.Context()))
	began = time.Now()
	one := entry(0, "one-more"+with+".example.com")
	one.Namespace, one.Name = "modest", "one-more"+with
	require.NoError(b, plane.Client.Create(b.Context(), one))
	out.until(b, "modest", 100*time.Millisecond)
	b.ReportMetric(time.Since(began).Seconds(), "s-for-one-more"+with)
	b.ReportMetric(out.most, "MiB-most"+with)
	return out
}

// until waits until the entries of a namespace have their exits, and looks at the memory meanwhile.
func (r *running) until(b *testing.B, namespace string, every time.Duration) {
	b.Helper()
	looked := time.Time{}
	require.Eventually(b, func() bool {
		r.most = max(r.most, sum(scrape(b.Context(), b, r.Metrics)["process_resident_memory_bytes"], "")/(1<<20))
		if time.Since(looked) < every {
			return false
		}
		defer func() { looked = time.Now() }()
		return waiting(b, r.plane.Client, namespace) == 0
	}, within, 100*time.Millisecond)
	require.Less(b, r.most, float64(memory))
}

// ends ends it.
func (r *running) ends(b *testing.B) {
	b.Helper()
	require.NoError(b, r.Signal(syscall.SIGTERM))
	require.Eventually(b, func() bool { return r.Ended() != nil }, within, 10*time.Millisecond)
}

// readied returns a webhook that is ready.
func readied(b *testing.B, plane *controlplane.ControlPlane) *controlplane.Replica {
	b.Helper()
	out, err := plane.StartReplica(b.Context(), controlplane.ReplicaOptions{
		Name: "webhook", Server: plane.Config.Host, CA: plane.Config.CAData, Args: []string{"--shutdown-delay=0s"},
		// What it sets itself in a container of that memory.
		Under: []string{"env", fmt.Sprintf("GOMEMLIMIT=%dMiB", most)},
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
func full(b *testing.B, plane *controlplane.ControlPlane, file string) {
	b.Helper()
	require.NoError(b, plane.Install(b.Context(), 1))
	for _, unasked := range []client.Object{&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}} {
		require.NoError(b, plane.Client.DeleteAllOf(b.Context(), unasked))
	}
	configuration, err := config.Load(file)
	require.NoError(b, err)
	mesh, err := configuration.Mesh()
	require.NoError(b, err)
	each(b, *entries, func(ctx context.Context, i int) error {
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
	// asked.invalid is the host of Asked, whose entries are exported to all.
	each(b, *policies, func(ctx context.Context, i int) error {
		return plane.Client.Create(ctx, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("hosts-%d", i)}, Spec: v1alpha1.EgressPolicySpec{
			Match:      v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprint(i % 100)}}},
			Policy:     "allowed-hosts",
			Parameters: &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"hosts": ["*.team-%d.example.com", "*.example.com", "asked.invalid"]}`, i)},
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
