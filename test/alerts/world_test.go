package alerts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scraped is what a real webhook served: test/operated leaves it.
const scraped = "../../.run/metrics.txt"

// ofTarget are the labels that Prometheus puts to what it reads by the chart's ServiceMonitor.
var ofTarget = map[string]string{
	"job": "egress-governor-metrics", "namespace": "egress-governor", "pod": "egress-governor-0", "instance": "10.0.0.1:8080", "service": "egress-governor-metrics", "endpoint": "metrics",
}

// world is a Prometheus that has read a webhook for an hour, once a minute.
type world struct {
	storage *teststorage.TestStorage
	// names are the labels of each metric.
	names map[string]map[string]bool
}

const minutes = 60

// read takes what was served: counters grow by it each minute, the rest stays.
func read(t *testing.T) *world {
	t.Helper()
	raw, err := os.ReadFile(scraped)
	require.NoError(t, err, "make alerts has a webhook serve them first")
	out := &world{teststorage.New(t), map[string]map[string]bool{}}
	t.Cleanup(func() { assert.NoError(t, out.storage.Close()) })
	appender, grows := out.storage.Appender(t.Context()), false
	of := textparse.NewPromParser(raw, labels.NewSymbolTable(), false)
	for {
		entry, err := of.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if entry == textparse.EntryType {
			_, kind := of.Type()
			grows = kind == "counter" || kind == "histogram" || kind == "summary"
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var series labels.Labels
		_, _, value := of.Series()
		of.Labels(&series)
		builder := labels.NewBuilder(series)
		for name, value := range ofTarget {
			builder.Set(name, value)
		}
		series = builder.Labels()
		name := series.Get(labels.MetricName)
		if out.names[name] == nil {
			out.names[name] = map[string]bool{}
		}
		series.Range(func(label labels.Label) { out.names[name][label.Name] = true })
		for minute := range minutes {
			now := value
			if grows {
				now *= float64(minute + 1)
			}
			_, err := appender.Append(0, series, time.Unix(int64(minute)*60, 0).UnixMilli(), now)
			require.NoError(t, err)
		}
	}
	require.NoError(t, appender.Commit())
	return out
}

// variables are what Grafana puts in.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$job", ofTarget["job"])

// answers says of an expression what is wrong with it: a metric that is not served, a label that it has not, no answer at all.
// legend are the labels that its legend names.
func (w *world) answers(t *testing.T, expr string, legend ...string) error {
	parsed, err := parser.ParseExpr(variables.Replace(expr))
	if err != nil {
		return err
	}
	errs := []error{w.selects(t, parsed)}
	found, err := w.query(t, parsed.String())
	if err != nil || len(found) == 0 {
		return errors.Join(append(errs, fmt.Errorf("no answer to %s", parsed), err)...)
	}
	for _, label := range legend {
		if !slices.ContainsFunc(found, func(one labels.Labels) bool { return one.Has(label) }) {
			errs = append(errs, fmt.Errorf("no series of %s has the label %s, which the legend names", parsed, label))
		}
	}
	return errors.Join(errs...)
}

// selects says of an expression which of its metrics are not served, have not its labels, or have no such series.
func (w *world) selects(t *testing.T, parsed parser.Expr) error {
	var errs []error
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		known := w.names[selector.Name]
		if known == nil {
			errs = append(errs, fmt.Errorf("nobody serves %s", selector.Name))
			return nil
		}
		for _, matcher := range selector.LabelMatchers {
			if !known[matcher.Name] {
				errs = append(errs, fmt.Errorf("%s has no label %s", selector.Name, matcher.Name))
			}
		}
		for _, above := range path {
			if by, is := above.(*parser.AggregateExpr); is {
				for _, label := range by.Grouping {
					if !known[label] {
						errs = append(errs, fmt.Errorf("%s has no label %s", selector.Name, label))
					}
				}
			}
		}
		if found, err := w.query(t, (&parser.VectorSelector{Name: selector.Name, LabelMatchers: selector.LabelMatchers}).String()); err != nil || len(found) == 0 {
			errs = append(errs, errors.Join(fmt.Errorf("%s selects nothing", selector), err))
		}
		return nil
	})
	return errors.Join(errs...)
}

// query returns the labels of the series of an answer.
func (w *world) query(t *testing.T, expr string) (out []labels.Labels, err error) {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	query, err := engine.NewInstantQuery(t.Context(), w.storage, nil, expr, time.Unix((minutes-1)*60, 0))
	if err != nil {
		return nil, err
	}
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	for _, sample := range vector {
		out = append(out, sample.Metric)
	}
	return out, err
}
