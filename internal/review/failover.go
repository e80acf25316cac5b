package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What istiod panics at, for everybody: endpoints of several localities, which DNS resolves, under failoverPriority.

const stopsIstiod = "and istiod panics where endpoints that DNS resolves are of several localities (istio/istio#61857): it would stop for everybody"

// sortedEntries returns those of the entries of a host whose endpoints proxies choose among under rules of a namespace: an egress gateway
// where the namespace's own entry is sealed, whoever sees it where it is not, and its sidecars where another's that serves it is not.
func sortedEntries(entries []*egress.Entry, namespace string) (out []*egress.Entry) {
	serving := egress.Serving(entries, namespace)
	for _, entry := range entries {
		if straight := entry.Gateway == "" || entry.Led; entry.Namespace == namespace || straight && serving != nil && entry.Namespace == serving.Namespace {
			out = append(out, entry)
		}
	}
	return out
}

// scattered says whether DNS resolves endpoints of several localities of entries that Istio joins, or that one exit stands for.
func scattered(entries []*egress.Entry) bool {
	var endpoints []egress.Endpoint
	for _, entry := range entries {
		resolution := entry.Definition.Resolution
		if entry.Gateway == "" || entry.Led {
			resolution = entry.Resolution
		}
		if hop.Scattered(resolution, entry.Definition.Endpoints) >= 0 {
			return true
		}
		if strings.HasPrefix(resolution, "DNS") && entry.Gateway == "" {
			endpoints = append(endpoints, entry.Definition.Endpoints...)
		}
	}
	return hop.Scattered("DNS", endpoints) >= 0
}

// sortingRule refuses a rule by which istiod would panic. That of subsets does no harm.
func sortingRule(s *subject, rule *egress.Rule) hop.Refusals {
	if !hop.Sorts(rule) {
		return nil
	}
	for _, host := range slices.Sorted(slices.Values(s.View.Below(rule.Host))) {
		if inForce := s.View.RuleAfter(rule.Namespace, host, rule.Name, rule); inForce.HasPolicy() && inForce.Name != rule.Name {
			continue
		}
		entries := sortedEntries(s.View.Entries(host), rule.Namespace)
		if !scattered(entries) {
			continue
		}
		for _, port := range portsOf(entries) {
			if key := hop.FailsOver(rule.Settings(port.Number)); key != "" {
				return hop.Refusals{{
					Code: hop.CodeCostly, Field: settingPath(rule, port.Number).Child("loadBalancer", key, "failoverPriority").String(),
					Message: fmt.Sprintf("it sorts the endpoints of %s by labels, %s", host, stopsIstiod),
					Fix:     "remove failoverPriority, or give the endpoints one locality; failover and distribute do no harm",
				}}
			}
		}
	}
	return nil
}

// sortedEndpoints refuses an entry by which istiod would panic under the rules that are there already, or by its own annotation.
func sortedEndpoints(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	ours := *s.listens(intent)
	ours.Definition = s.defines(intent)
	for _, host := range ours.Hosts {
		beside := s.beside(host)
		for _, namespace := range append(s.View.Ruled(host), s.Namespace.Name) {
			rule := s.View.Rule(namespace, host)
			if rule == nil || !hop.Sorts(rule) {
				continue
			}
			of := sortedEntries(append(slices.Clone(beside), &ours), namespace)
			if !slices.Contains(of, &ours) || !scattered(of) {
				continue
			}
			for _, port := range intent.Ports {
				if key := hop.FailsOver(rule.Settings(port.Number)); key != "" {
					return hop.Refusals{{
						Code: hop.CodeCostly, Field: elsewhere(intent),
						Message: fmt.Sprintf("DestinationRule %s/%s sorts the endpoints of %s by labels, %s", rule.Namespace, rule.Name, host, stopsIstiod),
						Fix:     fmt.Sprintf("give the endpoints one locality, or first remove failoverPriority from DestinationRule %s/%s", rule.Namespace, rule.Name),
					}}
				}
			}
		}
	}
	return sortedByAnnotation(s, intent, &ours)
}

// trafficDistribution is the annotation of an entry that has Istio sort its endpoints by labels of its own.
const trafficDistribution = "networking.istio.io/traffic-distribution"

func sortedByAnnotation(s *subject, intent *egress.ServiceEntry, ours *egress.Entry) hop.Refusals {
	switch strings.ToLower(cmp.Or(s.Object.GetAnnotations()[trafficDistribution], s.Namespace.Annotations[trafficDistribution])) {
	case "preferclose", "prefersamezone", "prefersamenode":
	default:
		return nil
	}
	if ours.Gateway != "" && !ours.Led || !scattered([]*egress.Entry{ours}) {
		return nil
	}
	return hop.Refusals{{
		Code: hop.CodeCostly, Field: elsewhere(intent),
		Message: fmt.Sprintf("annotation %s, of the entry or of its namespace, has endpoints sorted by labels, %s", trafficDistribution, stopsIstiod),
		Fix:     "give the endpoints one locality, or remove the annotation",
	}}
}

// elsewhere is the field of the first endpoint that is not of the locality of the first of all; that of all where others have the first.
func elsewhere(intent *egress.ServiceEntry) string {
	path := field.NewPath("spec", "endpoints")
	if i := hop.Scattered("DNS", intent.Endpoints); i >= 0 {
		path = path.Index(i).Child("locality")
	}
	return path.String()
}
