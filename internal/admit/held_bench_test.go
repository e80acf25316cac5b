package admit_test

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/egress-governor/egress-governor/internal/cost"
)

// BenchmarkHeld has the handlers decide on large objects, one at a time, and reports what they hold of memory meanwhile for each byte of
// the object: what a turn is weighed by.
func BenchmarkHeld(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	many := func(count int, format string) string {
		out := make([]string, count)
		for i := range out {
			out[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(out, ",")
	}
	of := func(kind, spec string) string {
		return `{"apiVersion":"networking.istio.io/v1","kind":"` + kind + `","metadata":{"name":"x","namespace":"payments"},"spec":{` + spec + `}}`
	}
	toMesh := `,"http":[{"route":[{"destination":{"host":"local.payments.svc.cluster.local"}}]}]`
	for name, object := range map[string]string{
		"VirtualService/one":        of("VirtualService", `"hosts":["h.example.com"]`+toMesh),
		"VirtualService/hosts=1000": of("VirtualService", `"hosts":[`+many(1000, `"h%d.to"`)+`]`+toMesh),
		"VirtualService/labels":     of("VirtualService", `"hosts":[`+many(500, `"h%d.`+strings.Repeat("a.", 40)+`com"`)+`]`+toMesh),
		"VirtualService/routes":     routesJSON(2000),
		"DestinationRule/ports":     of("DestinationRule", `"host":"s.payments.svc.cluster.local","trafficPolicy":{"portLevelSettings":[`+many(500, `{"port":{"number":%d},"connectionPool":{"tcp":{"maxConnections":1},"http":{"maxRetries":3}},"outlierDetection":{"consecutive5xxErrors":5}}`)+`]}`),
		"DestinationRule/subsets":   of("DestinationRule", `"host":"s.payments.svc.cluster.local","subsets":[`+many(10_000, `{"name":"v%[1]d","labels":{"version":"v%[1]d"}}`)+`]`),
		"Gateway/hosts":             of("Gateway", `"selector":{"app":"x"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":[`+many(40_000, `"h%d.to"`)+`]}]`),
		"Sidecar/hosts":             of("Sidecar", `"egress":[{"hosts":[`+many(40_000, `"./h%d.to"`)+`]}]`),
	} {
		kind, _, _ := strings.Cut(name, "/")
		b.Run(name, func(b *testing.B) {
			g, in := enforcing(b, true, 10, 10), request(kind, object)
			held := int64(0)
			for b.Loop() {
				before, ended, most := cost.Heap(), make(chan struct{}), make(chan int64)
				go watch(ended, most)
				g.Mutate(b.Context(), in)
				g.Validate(b.Context(), in)
				close(ended)
				held = max(held, <-most-before)
			}
			b.ReportMetric(float64(held)/(1<<20), "held-MiB")
			b.ReportMetric(float64(held)/float64(len(object)), "held-B/B")
		})
	}
}

// watch sends the most that the heap held until the end.
func watch(ended <-chan struct{}, most chan<- int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	held := int64(0)
	for {
		metrics.Read(sample)
		held = max(held, int64(sample[0].Value.Uint64()))
		select {
		case <-ended:
			most <- held
			return
		default:
		}
	}
}
