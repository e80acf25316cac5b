package discover

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Draft is what a namespace needs to call as it does where nothing leaves but what entries name.
type Draft struct {
	Namespace string
	// Entries are the hosts that no entry names, sorted.
	Entries []Entry
	// Policy is an EgressPolicy that records calls to any other host.
	Policy *unstructured.Unstructured
	// Wildcards are parents of many of the hosts.
	Wildcards []Wildcard
	// Addresses are called by no name, so that no entry can name them.
	Addresses []Found
	// Refused are the entries that would not be stored, or of which a policy has something to say.
	Refused []Refusal
}

// Entry is the draft of a ServiceEntry, with what was found of its host.
type Entry struct {
	Host   string
	Object *unstructured.Unstructured
	Found  []Found
}

// Wildcard is a parent of hosts, and how many they are.
type Wildcard struct {
	Host  string
	Hosts int
}

// Refusal is a host of which no entry is drafted, and why.
type Refusal struct {
	Host    string
	Reasons []string
}

// many is how many hosts below one parent are worth a word about a wildcard.
const many = 5

// Draft returns the drafts of a namespace, nil where it calls nothing.
func (l *Log) Draft(in string) *Draft {
	out := &Draft{Namespace: in}
	hosts, named := map[string][]Found{}, map[string]bool{}
	for _, found := range l.Found(in) {
		switch {
		case found.Host == "":
			out.Addresses = append(out.Addresses, found)
		case found.State == Named:
			named[found.Host] = true
		default:
			hosts[found.Host] = append(hosts[found.Host], found)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		out.Entries = append(out.Entries, Entry{host, entry(in, host, hosts[host]), hosts[host]})
		named[host] = true
	}
	if len(named)+len(out.Addresses) == 0 {
		return nil
	}
	if len(named) > 0 {
		out.Policy = policy(in, slices.Sorted(maps.Keys(named)))
	}
	out.Wildcards = wildcards(slices.Sorted(maps.Keys(hosts)))
	return out
}

// entry is the draft of a host, with a port for each that was called; where several protocols were seen on one, that of most calls.
func entry(in, host string, found []Found) *unstructured.Unstructured {
	calls := map[uint16]map[string]int{}
	for _, of := range found {
		if calls[of.Port] == nil {
			calls[of.Port] = map[string]int{}
		}
		calls[of.Port][of.Protocol] += of.Calls
	}
	var ports []any
	for _, number := range slices.Sorted(maps.Keys(calls)) {
		protocols := slices.SortedFunc(maps.Keys(calls[number]), func(a, b string) int {
			return cmp.Or(cmp.Compare(calls[number][b], calls[number][a]), cmp.Compare(a, b))
		})
		ports = append(ports, map[string]any{
			"number": int64(number), "name": fmt.Sprintf("%s-%d", strings.ToLower(protocols[0]), number), "protocol": protocols[0],
		})
	}
	return object("networking.istio.io/v1", "ServiceEntry", in, host, map[string]any{
		"hosts": []any{host}, "exportTo": []any{"."}, "location": "MESH_EXTERNAL", "resolution": "DNS", "ports": ports,
	})
}

// policy is the EgressPolicy that says of what is not listed that it is not, and stops nothing.
func policy(in string, hosts []string) *unstructured.Unstructured {
	listed := make([]any, len(hosts))
	for i, host := range hosts {
		listed[i] = host
	}
	return object("egress-governor.io/v1alpha1", "EgressPolicy", "", "discovered-"+in, map[string]any{
		"enforcement": "Audit", "match": map[string]any{"namespaces": []any{in}},
		"policy": "allowed-hosts", "parameters": map[string]any{"hosts": listed},
	})
}

func object(version, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "spec": spec}}
	out.SetName(name)
	if namespace != "" {
		out.SetNamespace(namespace)
	}
	return out
}

// wildcards returns the parents of many hosts that an entry may stand for.
func wildcards(hosts []string) (out []Wildcard) {
	below := map[string]int{}
	for _, host := range hosts {
		_, parent, _ := strings.Cut(host, ".")
		below["*."+parent]++
	}
	for _, host := range slices.Sorted(maps.Keys(below)) {
		if below[host] >= many && egress.Wide(host) == "" {
			out = append(out, Wildcard{host, below[host]})
		}
	}
	return out
}

// Check has drafts answered as the webhook would, and keeps of them what is stored and of which no policy has anything to say. The
// error is that of a policy that would be refused, or of an object that cannot be evaluated.
func Check(ctx context.Context, session *dryrun.Session, drafts []*Draft) error {
	for _, draft := range drafts {
		if draft.Policy == nil {
			continue
		}
		if err := session.Enforce(manifest.Object{Unstructured: draft.Policy}); err != nil {
			return err
		}
	}
	for _, draft := range drafts {
		var kept []Entry
		for _, entry := range draft.Entries {
			if session.Given(entry.Object) != nil {
				// Of that name there is another.
				entry.Object.SetName("discovered-" + entry.Host)
			}
			answers, err := session.Apply(ctx, []manifest.Object{{Unstructured: entry.Object}}, func() {})
			if err != nil {
				return err
			}
			var reasons []string
			for _, finding := range answers[0].Findings {
				reasons = append(reasons, finding.Sentence())
			}
			if len(reasons) > 0 {
				draft.Refused = append(draft.Refused, Refusal{entry.Host, reasons})
				continue
			}
			kept = append(kept, entry)
		}
		draft.Entries = kept
	}
	return nil
}
