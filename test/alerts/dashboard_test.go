package alerts

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const dashboardFile = "../../charts/egress-governor/files/dashboard.json"

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
