// Package checkup says what is wrong with an installation, by what was read of its cluster: what it is, why it matters, and how to mend
// it. What could not be looked at is never taken for sound.
package checkup

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Error is what lets calls past the gateways, stops them, or stops admission.
	Error Severity = "error"
	// Warning is what somebody may have meant to be so.
	Warning Severity = "warning"
)

// Finding is something that is wrong.
type Finding struct {
	// Code is stable, lower case with hyphens.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Object is what it is about, as Kind namespace/name.
	Object string `json:"object,omitempty"`
	// Message says what is wrong, Why what follows from it, Fix how to mend it.
	Message string `json:"message"`
	Why     string `json:"why,omitempty"`
	Fix     string `json:"fix"`
}

// Status is what came of a check.
type Status string

const (
	// Sound says that all was looked at, and nothing is wrong.
	Sound Status = "ok"
	// Wrong says that something is.
	Wrong Status = "wrong"
	// Unknown says that nothing was found, and not everything looked at.
	Unknown Status = "unknown"
	// Skipped says that nobody wanted to know.
	Skipped Status = "skipped"
)

// Result is what came of one check.
type Result struct {
	Name string `json:"name"`
	// About is what it looks at, in a few words.
	About    string    `json:"about"`
	Status   Status    `json:"status"`
	Findings []Finding `json:"findings,omitempty"`
	// NotLookedAt says what could not be looked at, and why.
	NotLookedAt []string `json:"notLookedAt,omitempty"`
}

// Report is what came of all.
type Report struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Cluster    string   `json:"cluster,omitempty"`
	Errors     int      `json:"errors"`
	Warnings   int      `json:"warnings"`
	Unknown    int      `json:"notLookedAt"`
	Checks     []Result `json:"checks"`
}

// Snapshot is what was read of a cluster.
type Snapshot struct {
	Now time.Time
	// Version is the API server's, such as v1.34.1.
	Version string
	// Release names the release by its namespace and the name of what it makes.
	Release Release
	// Configuration is the webhook's, Mesh the same as decisions use it; nil where it is not known, for the reason Unconfigured.
	Configuration *config.Configuration
	Mesh          *egress.Mesh
	Unconfigured  string
	// Objects are those of each resource; Unread says why some, or all, of one could not be read.
	Objects map[schema.GroupResource][]*unstructured.Unstructured
	Unread  map[schema.GroupResource]error
	// MeshIs is what Istio's ConfigMap says, MeshUnread why that is not known.
	MeshIs     MeshSettings
	MeshUnread error
	// Guards are those that the chart installs by the configuration.
	Guards []*unstructured.Unstructured
	// Problems are what preflight finds, ProblemsUnread what it could not look at.
	Problems       []Problem
	ProblemsUnread error
	// Unsealed and Ungoverned are entries that lead straight out: of governed namespaces, and of others that governed ones see.
	Unsealed, Ungoverned []string
	EntriesUnread        error
	// Answers are those to Probes.
	Answers []Answer
	// Proxies are what the istiods say of the proxies that they serve.
	Proxies       []Proxy
	ProxiesUnread error
}

// Release is an installation of the chart.
type Release struct{ Namespace, Name string }

// Problem is a finding of preflight, about an egress gateway or about all of them.
type Problem struct {
	egress.Finding
	Gateway string
}

// Names returns those of the checks, in their order.
func Names() (out []string) {
	for _, check := range checks {
		out = append(out, check.name)
	}
	return out
}

// Run holds a cluster to all checks but those to skip.
func Run(of *Snapshot, skip []string) *Report {
	out := &Report{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Checkup"}
	for _, check := range checks {
		result := Result{Name: check.name, About: check.about, Status: Skipped}
		if !slices.Contains(skip, check.name) {
			result = check.of(of)
		}
		for _, finding := range result.Findings {
			if finding.Severity == Error {
				out.Errors++
			} else {
				out.Warnings++
			}
		}
		out.Unknown += len(result.NotLookedAt)
		out.Checks = append(out.Checks, result)
	}
	return out
}

// check looks at one thing.
type check struct {
	name, about string
	// needs are the resources without which it sees nothing, configured that it goes by the configuration.
	needs      []schema.GroupResource
	configured bool
	look       func(*view)
}

func (c check) of(s *Snapshot) Result {
	v := &view{Snapshot: s}
	if c.configured && s.Mesh == nil {
		v.cannot("the configuration of the webhook is not known: " + s.Unconfigured)
	}
	for _, resource := range c.needs {
		if err := s.Unread[resource]; err != nil {
			v.cannot(err.Error())
		}
	}
	if len(v.unknown) == 0 {
		c.look(v)
	}
	out := Result{Name: c.name, About: c.about, Status: Sound, Findings: v.findings, NotLookedAt: v.unknown}
	switch {
	case len(v.findings) > 0:
		out.Status = Wrong
	case len(v.unknown) > 0:
		out.Status = Unknown
	}
	return out
}

// Exit is the exit code of a report: 0 for nothing wrong, 1 for errors, and with strict for warnings, 2 where nothing of that was found
// and not everything could be looked at.
func (r *Report) Exit(strict bool) int {
	switch {
	case r.Errors > 0, strict && r.Warnings > 0:
		return 1
	case r.Unknown > 0:
		return 2
	}
	return 0
}
