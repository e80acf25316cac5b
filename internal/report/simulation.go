package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/simulate"
)

// Simulation is what would change if other EgressPolicies were in force.
type Simulation struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Summary    SimulationSummary `json:"summary"`
	// Policies are the EgressPolicies that are other than those in force.
	Policies   []ChangedPolicy    `json:"policies"`
	Namespaces []ChangedNamespace `json:"namespaces"`
	Exits      []ChangedExit      `json:"exits,omitempty"`
	// Held are the policies that would suspend too many exits at once.
	Held []Held `json:"held,omitempty"`
}

// SimulationSummary counts the stored objects that were judged and, by change, the hosts of objects.
type SimulationSummary struct {
	Objects   int                     `json:"objects"`
	Changes   map[simulate.Change]int `json:"changes"`
	Suspended int                     `json:"suspended"`
	Restored  int                     `json:"restored"`
}

// ChangedPolicy is an EgressPolicy, and whether it is added, changed, unchanged or removed.
type ChangedPolicy struct {
	Name   string `json:"name"`
	Change string `json:"change"`
}

// ChangedNamespace has the hosts of a namespace's objects of which something changes.
type ChangedNamespace struct {
	Namespace string        `json:"namespace"`
	Hosts     []ChangedHost `json:"hosts"`
}

// ChangedHost is a host, empty for objects that name none, and its objects.
type ChangedHost struct {
	Host    string          `json:"host"`
	Objects []ChangedObject `json:"objects"`
}

// ChangedObject is what becomes of a host of an object; from and to are the worst that is said of it.
type ChangedObject struct {
	File     string          `json:"file"`
	Line     int             `json:"line,omitempty"`
	Kind     string          `json:"kind"`
	Name     string          `json:"name"`
	Change   simulate.Change `json:"change"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Findings []Finding       `json:"findings,omitempty"`
}

// ChangedExit is a ServiceEntry that would be suspended, and why, or restored.
type ChangedExit struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Change    string `json:"change"`
	Message   string `json:"message,omitempty"`
}

// Held is a policy that would suspend so many exits at once that none is.
type Held struct {
	Policy string `json:"policy"`
	Exits  int    `json:"exits"`
}

// NewSimulation returns the report of a simulation.
func NewSimulation(of *simulate.Simulation) *Simulation {
	out := &Simulation{
		APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Simulation", Policies: []ChangedPolicy{}, Namespaces: []ChangedNamespace{},
		Summary: SimulationSummary{Objects: of.Objects, Changes: map[simulate.Change]int{}, Suspended: len(of.Exits.Suspended), Restored: len(of.Exits.Restored)},
	}
	for _, each := range []struct {
		change string
		names  []string
	}{{"added", of.Policies.Added}, {"changed", of.Policies.Changed}, {"unchanged", of.Policies.Unchanged}, {"removed", of.Policies.Removed}} {
		for _, name := range each.names {
			out.Policies = append(out.Policies, ChangedPolicy{name, each.change})
		}
	}
	for _, change := range simulate.Changes {
		out.Summary.Changes[change] = 0
	}
	for _, host := range of.Hosts {
		out.Summary.Changes[host.Change]++
		out.add(host)
	}
	out.exits(of.Exits)
	return out
}

// add takes a host in; they come by namespace and host.
func (s *Simulation) add(of simulate.Host) {
	namespace := of.Of.GetNamespace()
	if last := len(s.Namespaces) - 1; last < 0 || s.Namespaces[last].Namespace != namespace {
		s.Namespaces = append(s.Namespaces, ChangedNamespace{Namespace: namespace})
	}
	hosts := &s.Namespaces[len(s.Namespaces)-1].Hosts
	if last := len(*hosts) - 1; last < 0 || (*hosts)[last].Host != of.Host {
		*hosts = append(*hosts, ChangedHost{Host: of.Host})
	}
	one := ChangedObject{
		File: of.Of.File, Line: of.Of.Line, Kind: of.Of.GetKind(), Name: of.Of.GetName(), Change: of.Change, From: string(of.From), To: string(of.To),
	}
	for _, finding := range of.Findings {
		one.Findings = append(one.Findings, findingOf(of.Of.Object, finding))
	}
	objects := &(*hosts)[len(*hosts)-1].Objects
	*objects = append(*objects, one)
}

func (s *Simulation) exits(of simulate.Exits) {
	byName := func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }
	for _, name := range slices.SortedFunc(maps.Keys(of.Suspended), byName) {
		s.Exits = append(s.Exits, ChangedExit{Namespace: name.Namespace, Name: name.Name, Change: "suspended", Message: of.Suspended[name]})
	}
	for _, name := range of.Restored {
		s.Exits = append(s.Exits, ChangedExit{Namespace: name.Namespace, Name: name.Name, Change: "restored"})
	}
	for _, policy := range slices.Sorted(maps.Keys(of.Held)) {
		s.Held = append(s.Held, Held{policy, of.Held[policy]})
	}
}

// SimulationFormats are the forms of a simulation.
var SimulationFormats = []string{"json", "table", "yaml"}

// Write writes the report in one of SimulationFormats.
func (s *Simulation) Write(w io.Writer, format string) error {
	return written(w, s, format, s.table)
}

// table has a row for each host of an object of which something changes, with why below it.
func (s *Simulation) table() string {
	rows := [][]string{{"NAMESPACE", "HOST", "OBJECT", "CHANGE"}}
	said := [][]string{nil}
	for _, namespace := range s.Namespaces {
		for _, host := range namespace.Hosts {
			for _, object := range host.Objects {
				name := host.Host
				if name == "" {
					name = "-"
				}
				rows = append(rows, []string{namespace.Namespace, name, object.Kind + " " + object.Name, object.From + " → " + object.To})
				said = append(said, object.lines())
			}
		}
	}
	var out strings.Builder
	if len(rows) > 1 {
		columns(&out, rows, said)
		out.WriteString("\n")
	}
	for _, exit := range s.Exits {
		fmt.Fprintf(&out, "ServiceEntry %s/%s would be %s", exit.Namespace, exit.Name, exit.Change)
		if exit.Message != "" {
			out.WriteString(": " + printable(exit.Message))
		}
		out.WriteString("\n")
	}
	for _, held := range s.Held {
		fmt.Fprintf(&out, "EgressPolicy %s would suspend %s at once, more than suspend.maxShare lets it: it suspends none until somebody confirms it\n",
			held.Policy, counted(held.Exits, "exit"))
	}
	out.WriteString(s.line() + "\n")
	return out.String()
}

// lines are why something changes, in the words of policies.
func (o ChangedObject) lines() (out []string) {
	for _, finding := range o.Findings {
		for i, line := range strings.Split(finding.sentence, "\n") {
			if i == 0 && o.Change.Better() {
				line = "no longer: " + line
			}
			out = append(out, line)
		}
	}
	return out
}

// line is the sum in a sentence.
func (s *Simulation) line() string {
	var parts []string
	for _, change := range simulate.Changes {
		if count := s.Summary.Changes[change]; count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, strings.ReplaceAll(string(change), "-", " ")))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing changes"}
	}
	out := counted(s.Summary.Objects, "stored object") + ", of their hosts: " + strings.Join(parts, ", ")
	if s.Summary.Suspended+s.Summary.Restored > 0 {
		out += fmt.Sprintf("; exits: %d suspended, %d restored", s.Summary.Suspended, s.Summary.Restored)
	}
	return out
}
