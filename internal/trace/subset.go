package trace

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// leavesNone returns the rule by whose labels a subset has none of an entry's endpoints, nil where it has some, or where workloads have the labels.
func (p *proxy) leavesNone(to cluster, of *service) *unstructured.Unstructured {
	if to.subset == "" || of.workloads {
		return nil
	}
	for _, rule := range p.rule(to.host, of) {
		for _, subset := range listOf(rule.Object, "spec", "subsets") {
			if textOf(subset, "name") != to.subset {
				continue
			}
			labels := labelsOf(subset, "labels")
			if len(labels) > 0 && !slices.ContainsFunc(of.endpoints, func(endpoint egress.Endpoint) bool { return egress.Selects(labels, endpoint.Labels) }) {
				return rule
			}
			return nil
		}
	}
	return nil
}
