package reliability

import (
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
)

var soak = flag.Duration("soak", 30*time.Second, "how long the soak is")

// samples are taken of the soak, all but the first quarter are judged: caches fill at first.
const samples = 30

// TestSoak: under a load that goes on, memory, goroutines and watches of the replicas stay as they are.
func TestSoak(t *testing.T) {
	l := start(context.WithoutCancel(t.Context()), world.plane.Client, tenants...)
	t.Cleanup(l.end)
	began, ended := time.Now(), world.ended.Load()
	series := map[string][]float64{}
	for range samples {
		time.Sleep(*soak / samples)
		for _, pod := range world.pods {
			for _, of := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", resident} {
				name := pod.options.Name + " " + of
				value, err := pod.metric(t.Context(), of)
				require.NoError(t, err)
				series[name] = append(series[name], value)
			}
		}
		series["watches"] = append(series["watches"], watches(t))
	}
	answers := l.since(began)
	for _, of := range answers {
		require.Equal(t, done, of.outcome, "%s: %s", of.what, of.said)
	}
	require.Equal(t, ended, world.ended.Load(), "a replica ended by itself")
	tell(t, "soak of %s: %d requests", *soak, len(answers))
	for name, values := range series {
		values = values[len(values)/4:]
		grew, noise := trend(values)
		tell(t, "%s: from %.4g to %.4g, trend %+.3g over the soak, noise %.3g", name, slices.Min(values), slices.Max(values), grew, noise)
		if strings.HasSuffix(name, resident) {
			noise = max(noise, arena)
		}
		assert.LessOrEqual(t, grew, noise, "%s grows", name)
	}
}

const (
	resident = "process_resident_memory_bytes"
	// arena is the step by which what the heap holds of the system's memory grows. The webhook gives back what it does not use before
	// the load begins, and takes it again.
	arena = 4 << 20
)

// trend returns by how much a line through a series rises from its beginning to its end, and by how much it may by chance: four
// standard errors of the slope, whose samples depend on each other, or a fiftieth of what there is.
func trend(values []float64) (grew, noise float64) {
	n, mean := float64(len(values)), 0.0
	for _, value := range values {
		mean += value / n
	}
	var xx, xy, residue float64
	middle := (n - 1) / 2
	for i, value := range values {
		xx += (float64(i) - middle) * (float64(i) - middle)
		xy += (float64(i) - middle) * (value - mean)
	}
	slope := xy / xx
	for i, value := range values {
		off := value - mean - slope*(float64(i)-middle)
		residue += off * off
	}
	return slope * (n - 1), max(4*math.Sqrt(residue/(n-2)/xx)*(n-1), mean/50)
}

// watches are those that the API server holds open, of everybody.
func watches(t *testing.T) (out float64) {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(world.plane.Config)
	require.NoError(t, err)
	raw, err := clientset.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	require.NoError(t, err)
	families, err := parsed(raw)
	require.NoError(t, err)
	for _, metric := range families["apiserver_longrunning_requests"].GetMetric() {
		if slices.ContainsFunc(metric.GetLabel(), func(label *dto.LabelPair) bool { return label.GetName() == "verb" && label.GetValue() == "WATCH" }) {
			out += metric.GetGauge().GetValue()
		}
	}
	return out
}

// TestTrend: a leak is told from noise.
func TestTrend(t *testing.T) {
	flat, leak := make([]float64, samples), make([]float64, samples)
	for i := range flat {
		flat[i] = 100 + 5*math.Sin(float64(i*i))
		leak[i] = flat[i] + float64(i)/2
	}
	grew, noise := trend(flat)
	assert.LessOrEqual(t, grew, noise, fmt.Sprint(grew, noise))
	grew, noise = trend(leak)
	assert.Greater(t, grew, noise, fmt.Sprint(grew, noise))
}
