package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/adopt"
)

// Adoption is what is done to seal what is stored.
type Adoption struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Summary    AdoptionSummary    `json:"summary"`
	Namespaces []AdoptedNamespace `json:"namespaces"`
	// Hops are what was written by hand.
	Hops []HandWritten `json:"hops,omitempty"`
}

// AdoptionSummary counts objects by what becomes of them.
type AdoptionSummary struct {
	Seal    int `json:"seal"`
	Sealed  int `json:"sealed"`
	Rewrite int `json:"rewrite"`
	Left    int `json:"left"`
}

// AdoptedNamespace has the objects of a namespace in the order in which they are adopted.
type AdoptedNamespace struct {
	Namespace string `json:"namespace"`
	// Observed says that it is to be governed first.
	Observed bool            `json:"observed"`
	Gateway  string          `json:"gateway,omitempty"`
	Objects  []AdoptedObject `json:"objects"`
	// Crossings stand while entries and rules are written on which calls hang both.
	Crossings []CrossedHosts `json:"crossings,omitempty"`
}

// AdoptedObject is a stored object. Changes are what its author would be told, Findings why it is left untouched, or a write of a sealed
// one would not be stored, For why it waits, and
// Back the command that undoes the step.
type AdoptedObject struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Hosts    []string  `json:"hosts,omitempty"`
	Verdict  string    `json:"verdict,omitempty"`
	Changes  []string  `json:"changes,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	Message  string    `json:"message,omitempty"`
	For      string    `json:"for,omitempty"`
	Back     string    `json:"back,omitempty"`
}

// HandWritten is an object of a hop that somebody wrote by hand; Keep is why it is not retired.
type HandWritten struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts,omitempty"`
	Keep      string   `json:"keep,omitempty"`
}

// NewAdoption returns the report of a plan.
func NewAdoption(of *adopt.Plan) *Adoption {
	out := &Adoption{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Adoption", Namespaces: []AdoptedNamespace{}}
	for _, namespace := range of.Namespaces {
		if len(namespace.Objects) == 0 {
			continue
		}
		next := AdoptedNamespace{Namespace: namespace.Name, Observed: namespace.Observed && namespace.Writes(), Gateway: namespace.Gateway}
		for _, object := range namespace.Objects {
			next.Objects = append(next.Objects, adopted(object))
			switch object.State {
			case adopt.Seal, adopt.Held:
				out.Summary.Seal++
			case adopt.Sealed:
				out.Summary.Sealed++
			case adopt.Rewrite:
				out.Summary.Rewrite++
			case adopt.Waits, adopt.Stays:
				out.Summary.Left++
			}
		}
		next.Crossings = crossed(namespace.Crossings)
		out.Namespaces = append(out.Namespaces, next)
	}
	for _, each := range of.Hops {
		out.Hops = append(out.Hops, HandWritten{each.GetKind(), each.GetNamespace(), each.GetName(), each.Hosts, each.Keep})
	}
	return out
}

func adopted(of adopt.Object) AdoptedObject {
	out := AdoptedObject{Kind: of.GetKind(), Name: of.GetName(), State: string(of.State), Hosts: of.Hosts, For: of.For}
	switch of.State {
	case adopt.Seal, adopt.Held, adopt.Sealed:
		out.Back = fmt.Sprintf("egressctl unseal %s/%s", of.GetNamespace(), of.GetName())
	}
	switch {
	case of.Message != "":
		out.Verdict, out.Message = string(of.Verdict), of.Message
	case of.State == adopt.Sealed:
		return out
	}
	out.Changes = of.Changes
	for _, finding := range of.Findings {
		out.Findings = append(out.Findings, findingOf(of.Object, finding))
	}
	return out
}

// PlanFormats are the forms of plans.
var PlanFormats = []string{"json", "table", "yaml"}

// Write writes the plan in one of PlanFormats.
func (a *Adoption) Write(w io.Writer, format string) error {
	return written(w, a, format, a.table)
}

// table has a row for each object that is not sealed yet, or whose next write would not be stored, with what is said of it below.
func (a *Adoption) table() string {
	rows := [][]string{{"NAMESPACE", "OBJECT", "HOSTS", "STATE"}}
	said := [][]string{nil}
	for _, namespace := range a.Namespaces {
		if namespace.Observed {
			rows = append(rows, []string{namespace.Namespace, "Namespace " + namespace.Namespace, "-", "govern"})
			said = append(said, []string{"is observed, and is labelled egress-governor.io/mode=Enforce before anything else"})
		}
		for _, object := range namespace.Objects {
			if object.State != string(adopt.Sealed) || object.Message != "" {
				rows = append(rows, []string{namespace.Namespace, object.Kind + " " + object.Name, printable(hostsIn(object.Hosts)), object.state()})
				said = append(said, object.lines())
			}
		}
		for _, crossing := range namespace.Crossings {
			rows, said = append(rows, crossing.row()), append(said, []string{crossedBy})
		}
	}
	var out strings.Builder
	if len(rows) > 1 {
		columns(&out, rows, said)
		out.WriteString("\n")
	}
	for _, each := range a.Hops {
		fmt.Fprintf(&out, "By hand: %s %s/%s", each.Kind, each.Namespace, each.Name)
		if len(each.Hosts) > 0 {
			out.WriteString(" leads " + printable(strings.Join(each.Hosts, ", ")) + " to an egress gateway or on from there")
		}
		if each.Keep == "" {
			out.WriteString("; --retire deletes it once its hosts are sealed\n")
		} else {
			out.WriteString("; it is kept: " + printable(each.Keep) + "\n")
		}
	}
	fmt.Fprintf(&out, "%s to seal, %d sealed, %s to rewrite, %d left as they are\n",
		countedEntries(a.Summary.Seal), a.Summary.Sealed, counted(a.Summary.Rewrite, "other object"), a.Summary.Left)
	return out.String()
}

func countedEntries(count int) string {
	if count == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", count)
}

func hostsIn(hosts []string) string {
	switch {
	case len(hosts) == 0:
		return "-"
	case len(hosts) > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(hosts[:3], ", "), len(hosts)-3)
	}
	return strings.Join(hosts, ", ")
}

func (o AdoptedObject) state() string {
	if o.Verdict != "" {
		return o.State + ": " + o.Verdict
	}
	return o.State
}

func (o AdoptedObject) lines() (out []string) {
	switch o.State {
	case string(adopt.Waits):
		return []string{o.For}
	case string(adopt.Stays):
		return strings.Split(o.Message, "\n")
	case string(adopt.Sealed):
		return append([]string{"is sealed, and its calls leave by the gateway; a write of it as it is would not be stored:"}, strings.Split(o.Message, "\n")...)
	}
	for _, change := range o.Changes {
		out = append(out, strings.Split(change, "\n")...)
	}
	return out
}
