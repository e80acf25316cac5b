package report

import (
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/adopt"
)

// Unsealing is what is done to have authors' own words back.
type Unsealing struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Objects    []Returned `json:"objects"`
	// Crossings stand while entries and rules are written on which calls hang both.
	Crossings []CrossedHosts `json:"crossings,omitempty"`
}

// Returned is an object that goes back to what its author wrote; one that is Released has gone back, and its exit goes.
type Returned struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts,omitempty"`
	Released  bool     `json:"released,omitempty"`
}

// NewUnsealing returns the report of what goes back.
func NewUnsealing(of []adopt.Return, crossings []adopt.Crossing) *Unsealing {
	out := &Unsealing{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Unsealing", Objects: []Returned{}, Crossings: crossed(crossings)}
	for _, each := range of {
		out.Objects = append(out.Objects, Returned{each.GetKind(), each.GetNamespace(), each.GetName(), each.Hosts, each.Intent == nil})
	}
	return out
}

// Write writes the plan in one of PlanFormats.
func (u *Unsealing) Write(w io.Writer, format string) error {
	return written(w, u, format, func() string {
		rows := [][]string{{"NAMESPACE", "OBJECT", "HOSTS", "CHANGE"}}
		for _, of := range u.Objects {
			change := "as written"
			if of.Released {
				change = "release the exit"
			}
			rows = append(rows, []string{of.Namespace, of.Kind + " " + of.Name, printable(hostsIn(of.Hosts)), change})
		}
		said := make([][]string, len(rows))
		for _, crossing := range u.Crossings {
			rows, said = append(rows, crossing.row()), append(said, []string{crossedBy})
		}
		var out strings.Builder
		if len(rows) > 1 {
			columns(&out, rows, said)
			out.WriteString("\n")
		}
		out.WriteString(counted(len(u.Objects), "object") + " to write\n")
		return out.String()
	})
}

// CrossedHosts is an EnvoyFilter that has the proxies of its namespace call hosts at their gateway for a while.
type CrossedHosts struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts"`
}

// crossed are crossings in a report.
func crossed(of []adopt.Crossing) (out []CrossedHosts) {
	for _, each := range of {
		out = append(out, CrossedHosts{each.Namespace, each.Name(), each.Hosts()})
	}
	return out
}

// row is that of a crossing in a table.
func (c CrossedHosts) row() []string {
	return []string{c.Namespace, "EnvoyFilter " + c.Name, printable(hostsIn(c.Hosts)), "for a while"}
}

// crossedBy is what a table says of it.
const crossedBy = "has proxies call these at the gateway, encrypted there, while their entries and rules are written; it is deleted at the end"
