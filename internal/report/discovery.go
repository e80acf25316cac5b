package report

import (
	"io"
	"strconv"
	"strings"

	"github.com/egress-governor/egress-governor/internal/discover"
)

// Discovery is what workloads call.
type Discovery struct {
	APIVersion string                `json:"apiVersion"`
	Kind       string                `json:"kind"`
	Count      discover.Count        `json:"count"`
	Namespaces []DiscoveredNamespace `json:"namespaces"`
}

// DiscoveredNamespace is what the workloads of a namespace call.
type DiscoveredNamespace struct {
	Namespace string           `json:"namespace"`
	Found     []discover.Found `json:"found"`
}

// NewDiscovery returns the report of what was found in logs.
func NewDiscovery(of *discover.Log) *Discovery {
	out := &Discovery{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Discovery", Count: of.Count, Namespaces: []DiscoveredNamespace{}}
	for _, namespace := range of.Namespaces() {
		out.Namespaces = append(out.Namespaces, DiscoveredNamespace{namespace, of.Found(namespace)})
	}
	return out
}

// DiscoveryFormats are the forms of what was discovered; yaml is that of drafts.
var DiscoveryFormats = []string{"json", "table", "yaml"}

// Write writes the report as a table or as JSON.
func (d *Discovery) Write(w io.Writer, format string) error {
	if format == "json" {
		return writeJSON(w, d)
	}
	rows := [][]string{{"NAMESPACE", "CALLED", "STATE", "CALLS", "WORKLOADS"}}
	for _, namespace := range d.Namespaces {
		for _, found := range namespace.Found {
			rows = append(rows, []string{namespace.Namespace, found.String(), found.State, strconv.Itoa(found.Calls), strings.Join(found.Workloads, ", ")})
		}
	}
	var out strings.Builder
	columns(&out, rows, make([][]string, len(rows)))
	_, err := io.WriteString(w, out.String())
	return err
}
