// Package growth measures what many entries cost the controllers, on a real kube-apiserver.
package growth

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

const (
	// within bounds the wait for the last exit.
	within = 20 * time.Minute
	// writers apply at once.
	writers = 8
)

// BenchmarkGrowth applies entries and waits until each says ExitReady, then lets the memory settle. It is run once per
// case (-benchtime 1x): the time is the cluster's, not the code's.
func BenchmarkGrowth(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
	for _, tc := range []struct {
		name    string
		entries int
		host    func(i int) string
	}{
		{"DistinctHosts=5000", 5000, func(i int) string { return fmt.Sprintf("host-%d.example.com", i) }},
		{"OneHost=2000", 2000, func(int) string { return "shared.example.com" }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				plane := start(b)
				b.StartTimer()
				grow(b, plane, tc.entries, tc.host)
				b.StopTimer()
				report(b, plane)
				require.NoError(b, plane.Stop())
			}
		})
	}
}

// BenchmarkFair lets one namespace bring 12 entries of 256 hosts, and another one host right after: the time is until the
// one host has its exit.
func BenchmarkFair(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
	plane := start(b)
	for b.Loop() {
		for i := range 12 {
			greedy := entry(i, "")
			greedy.Spec.Hosts = nil
			for j := range 256 {
				greedy.Spec.Hosts = append(greedy.Spec.Hosts, fmt.Sprintf("h%d-%d.example.com", i, j))
			}
			require.NoError(b, plane.Client.Create(b.Context(), greedy))
		}
		modest := entry(0, "modest.example.com")
		modest.Namespace = "modest"
		require.NoError(b, plane.Client.Create(b.Context(), modest))
		began := time.Now()
		require.Eventually(b, func() bool { return waiting(b, plane.Client, "modest") == 0 }, within, 20*time.Millisecond)
		b.ReportMetric(time.Since(began).Seconds(), "s-until-the-modest-one")
		b.ReportMetric(float64(waiting(b, plane.Client, "payments")), "greedy-entries-waiting-then")
	}
}

// BenchmarkWorstAtOnce sends the largest VirtualService that is looked at, 32 at once, as dry runs: the memory is the
// most that was seen meanwhile.
func BenchmarkWorstAtOnce(b *testing.B) {
	ctrl.SetLogger(logr.Discard())
	plane := start(b)
	worst := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "worst"}}
	for i := range 223 {
		worst.Spec.Hosts = append(worst.Spec.Hosts, fmt.Sprintf("h%d.example.com", i))
		worst.Spec.Http = append(worst.Spec.Http, &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{
			Destination: &networking.Destination{Host: controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"},
		}}})
	}
	most := 0.0
	for b.Loop() {
		group, ctx := errgroup.WithContext(b.Context())
		for range 32 {
			group.Go(func() error {
				for range 10 {
					if err := plane.Client.Create(ctx, worst.DeepCopy(), client.DryRunAll); err != nil {
						return err
					}
				}
				return nil
			})
		}
		done := make(chan error, 1)
		go func() { done <- group.Wait() }()
		for running := true; running; {
			select {
			case err := <-done:
				require.NoError(b, err)
				running = false
			case <-time.After(50 * time.Millisecond):
			}
			most = max(most, sum(scrape(b.Context(), b, plane.Metrics)["process_resident_memory_bytes"], ""))
		}
	}
	b.ReportMetric(most/(1<<20), "MiB-most")
}

func start(b *testing.B) *controlplane.ControlPlane {
	b.Helper()
	return startWith(b, map[string]any{"config": map[string]any{"maxHostsPerNamespace": 0}})
}

func startWith(b *testing.B, values map[string]any) *controlplane.ControlPlane {
	b.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(b, err)
	options := controlplane.InTree(root, "growth")
	options.Values = values
	plane, err := controlplane.Start(b.Context(), options)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, plane.Stop()) })
	for _, name := range []string{"payments", "modest"} {
		require.NoError(b, plane.Client.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	return plane
}

// grow returns when every entry is stored and has its exit.
func grow(b *testing.B, plane *controlplane.ControlPlane, entries int, host func(int) string) {
	b.Helper()
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(writers)
	for i := range entries {
		group.Go(func() error { return plane.Client.Create(ctx, entry(i, host(i))) })
	}
	require.NoError(b, group.Wait())
	stored := time.Now()
	require.Eventually(b, func() bool { return waiting(b, plane.Client, "payments") == 0 }, within, time.Second)
	b.ReportMetric(time.Since(stored).Seconds(), "s-after-last-apply")
}

func entry(i int, host string) *networkingv1.ServiceEntry {
	return &networkingv1.ServiceEntry{
		ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: fmt.Sprintf("entry-%d", i)},
		Spec: networking.ServiceEntry{
			Hosts: []string{host}, Resolution: networking.ServiceEntry_DNS,
			Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}, {Number: 443, Name: "tls", Protocol: "TLS"}},
		},
	}
}

// waiting counts the entries that do not say that their exit stands.
func waiting(b *testing.B, c client.Client, namespace string) (out int) {
	b.Helper()
	list := &networkingv1.ServiceEntryList{}
	require.NoError(b, c.List(b.Context(), list, client.InNamespace(namespace)))
	for _, entry := range list.Items {
		if len(entry.Status.Conditions) != 1 || entry.Status.Conditions[0].Status != "True" {
			out++
		}
	}
	return out
}

// report adds what the webhook says of itself: its memory now, and its writes of conditions and of exit sets.
func report(b *testing.B, plane *controlplane.ControlPlane) {
	b.Helper()
	// A minute of preflight and of the garbage collector.
	time.Sleep(time.Minute)
	families := scrape(b.Context(), b, plane.Metrics)
	b.ReportMetric(sum(families["process_resident_memory_bytes"], "")/(1<<20), "MiB-resident")
	b.ReportMetric(sum(families["rest_client_requests_total"], "PATCH"), "PATCH")
	b.ReportMetric(sum(families["rest_client_requests_total"], "POST"), "POST")
	b.ReportMetric(sum(families["rest_client_requests_total"], "PUT"), "PUT")
	b.ReportMetric(sum(families["process_cpu_seconds_total"], ""), "cpu-s")
}

func scrape(ctx context.Context, b *testing.B, url string) map[string]*dto.MetricFamily {
	b.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(b, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	defer func() { require.NoError(b, response.Body.Close()) }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	require.NoError(b, err)
	return families
}

// sum adds the values of a metric, of one method where one is named.
func sum(family *dto.MetricFamily, method string) (out float64) {
	for _, metric := range family.GetMetric() {
		wanted := method == ""
		for _, label := range metric.GetLabel() {
			wanted = wanted || label.GetName() == "method" && label.GetValue() == method
		}
		if wanted {
			out += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return out
}
