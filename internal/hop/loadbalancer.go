package hop

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// balances says whether calls to an egress gateway must not be made under settings of load balancing: they would go to the
// address that the app dialled, or by localities that a gateway, as the endpoint of a host, does not have; or the client's proxy would
// give its caller a cookie beside the gateway's, of the same name, which leads to none of the host's endpoints.
func balances(settings map[string]any) bool {
	distribute, _, _ := unstructured.NestedSlice(settings, "localityLbSetting", "distribute")
	cookie, _, _ := unstructured.NestedMap(settings, "consistentHash", "httpCookie")
	return egress.IsPassthrough(settings) || len(distribute) > 0 || cookie["ttl"] != nil
}

// CheckPassthrough refuses load balancing by which sidecars lead calls to the address that the app dialled: past every gateway.
func CheckPassthrough(rule *egress.Rule) (out Refusals) {
	everySettings(rule.Policy, rule.Subsets, func(settings map[string]any, path *field.Path) {
		if balancer, _ := settings["loadBalancer"].(map[string]any); egress.IsPassthrough(balancer) {
			out.add(CodePassthrough, path.Child("loadBalancer", "simple"), "PASSTHROUGH leads calls to the address that the app dialled, past every egress gateway",
				"remove it: the egress gateway finds the host's addresses by the ServiceEntry")
		}
	})
	return out
}

// CodePassthrough is the code of a rule under which calls go to the address that the app dialled.
const CodePassthrough = "rule-passthrough"
