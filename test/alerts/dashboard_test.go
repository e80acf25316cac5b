package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
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

const (
	dashboardFile = "../../charts/egress-governor/files/dashboard.json"
	// scraped is what a real webhook served: test/operated leaves it.
	scraped = "../../.run/metrics.txt"
)

// target is a query of a panel.
type target struct{ Expr, LegendFormat, Format, RefID string }

// panel is one of the dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
	Datasource               struct{ UID string }
}

type dashboard struct {
	UID        string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
}

func readDashboard(t *testing.T) (out dashboard) {
	t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &out))
	return out
}

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
			errs = append(errs, fmt.Errorf("%s selects nothing: %w", selector, err))
		}
		return nil
	})
	found, err := w.query(t, parsed.String())
	if err != nil || len(found) == 0 {
		return errors.Join(append(errs, fmt.Errorf("no answer to %s: %w", parsed, err))...)
	}
	for _, label := range legend {
		if !slices.ContainsFunc(found, func(one labels.Labels) bool { return one.Has(label) }) {
			errs = append(errs, fmt.Errorf("no series of %s has the label %s, which the legend names", parsed, label))
		}
	}
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

var legends = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// TestTheDashboardShowsWhatIsServed: each of its queries is answered, by Prometheus' own engine, from what a real webhook served; and
// there is no metric of ours that it does not show.
func TestTheDashboardShowsWhatIsServed(t *testing.T) {
	of, w := readDashboard(t), read(t)
	shown := ""
	for _, panel := range of.Panels {
		for _, target := range panel.Targets {
			t.Run(panel.Title+" "+target.RefID, func(t *testing.T) {
				var legend []string
				for _, label := range legends.FindAllStringSubmatch(target.LegendFormat, -1) {
					legend = append(legend, label[1])
				}
				require.NoError(t, w.answers(t, target.Expr, legend...))
			})
			shown += target.Expr + "\n"
		}
	}
	for name := range w.names {
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		if strings.HasPrefix(name, "egress_governor_") {
			assert.Contains(t, shown, name, "no panel shows it")
		}
	}
	for _, variable := range of.Templating.List {
		if variable.Type == "query" {
			parts := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(variable.Definition)
			require.Len(t, parts, 3, variable.Name)
			assert.True(t, w.names[parts[1]][parts[2]], variable.Definition)
		}
	}
}

// TestAQueryOfWhatIsNotThereIsFound, by each of its parts.
func TestAQueryOfWhatIsNotThereIsFound(t *testing.T) {
	w := read(t)
	for expr, says := range map[string]string{
		`max(egress_governor_exit)`:                                         "nobody serves egress_governor_exit",
		`max(egress_governor_exits{status="ready"})`:                        "has no label status",
		`max(egress_governor_exits{state="redy"})`:                          "selects nothing",
		`sum by (status) (egress_governor_exits)`:                           "has no label status",
		`sum(rate(egress_governor_decisions_total{job=~"$job"}[1m]))`:       "no answer",
		`count(egress_governor_exits) or vector(0) + egress_governor_ready`: "nobody serves egress_governor_ready",
		`sum by (state (egress_governor_exits)`:                             "unexpected",
		`histogram_quantile(0.9, egress_governor_request_duration_seconds)`: "nobody serves egress_governor_request_duration_seconds",
	} {
		assert.ErrorContains(t, w.answers(t, expr), says, expr)
	}
	assert.ErrorContains(t, w.answers(t, `sum by (state) (egress_governor_exits)`, "pod"), "which the legend names")
	assert.NoError(t, w.answers(t, `sum by (state) (egress_governor_exits)`, "state"))
}

// TestPanelsHaveTheirPlaces: none lies over another or beside the dashboard, each says what it shows and reads from the source that
// is chosen.
func TestPanelsHaveTheirPlaces(t *testing.T) {
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, panel := range readDashboard(t).Panels {
		assert.False(t, ids[panel.ID], "%s: its ID is another's", panel.Title)
		ids[panel.ID] = true
		at := panel.GridPos
		assert.LessOrEqual(t, at.X+at.W, 24, panel.Title)
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "%s lies over it", panel.Title)
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type != "row" {
			assert.NotEmpty(t, panel.Description, panel.Title)
			assert.Equal(t, "${datasource}", panel.Datasource.UID, panel.Title)
			assert.NotEmpty(t, panel.Targets, panel.Title)
		}
	}
}
