package checkup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func lookAtGateways(v *view) {
	v.problems(Error, "gateway-service-missing", "gateway-port-missing", "gateway-without-pods", "foreign-gateway", "waypoint-missing", "waypoint-not-ready",
		"waypoint-not-for-services", "waypoint-closed", "waypoint-hidden", "trust-domain", "gateway-identity", "auto-mtls-off", "mtls-disabled", "root-rule",
		"forwarded-client-cert")
	v.problems(Warning, "exits-visible", "default-export", "default-rule-export")
	for _, gw := range v.Mesh.Gateways {
		said := func(finding Finding) bool { return finding.Object == "egress gateway "+gw.Name }
		if slices.ContainsFunc(v.findings, said) || v.ready(gw.Namespace(), gw.ServiceName()) > 0 {
			continue
		}
		v.find(Finding{
			Code: "gateway-without-endpoints", Severity: Error, Object: "egress gateway " + gw.Name, Message: fmt.Sprintf("no ready pod is behind Service %s", gw.Service),
			Why: "every call through it fails", Fix: fmt.Sprintf("see why its pods are not ready, and whether the Service selects them: kubectl -n %s get pods", gw.Namespace()),
		})
	}
}

// Proxy is what an istiod says of a proxy that it serves, in the words of its /debug/syncz.
type Proxy struct {
	// ID is <pod>.<namespace>.
	ID string `json:"proxy"`
	// Resources are the kinds of its configuration, by type URL or name.
	Resources map[string]sync `json:"resources"`
	// Istio has these where it has no Resources.
	ClusterSent   string `json:"cluster_sent"`
	ClusterAcked  string `json:"cluster_acked"`
	ListenerSent  string `json:"listener_sent"`
	ListenerAcked string `json:"listener_acked"`
	RouteSent     string `json:"route_sent"`
	RouteAcked    string `json:"route_acked"`
}

// sync is what of one kind was sent to a proxy, and confirmed by it.
type sync struct {
	Sent      string    `json:"sent"`
	Acked     string    `json:"acked"`
	SentTime  time.Time `json:"sentTime"`
	LastError string    `json:"lastError"`
}

// late is how long a proxy may take to take what it was sent.
const late = 30 * time.Second

// stale says why a proxy does not go by what istiod has for it, empty where it does.
func (p Proxy) stale(now time.Time) string {
	for kind, of := range p.Resources {
		short, is := strings.CutPrefix(kind, "type.googleapis.com/envoy.config.")
		kind = short[strings.LastIndex(short, ".")+1:]
		switch {
		case !is: // what a proxy need not confirm
		case of.LastError != "":
			return fmt.Sprintf("it refuses %s: %s", kind, firstLine(of.LastError))
		case of.Sent != "" && of.Sent != of.Acked && now.Sub(of.SentTime) > late:
			return fmt.Sprintf("it has not taken %s that it was sent %s ago", kind, now.Sub(of.SentTime).Round(time.Second))
		}
	}
	for kind, of := range map[string][2]string{
		"clusters": {p.ClusterSent, p.ClusterAcked}, "listeners": {p.ListenerSent, p.ListenerAcked}, "routes": {p.RouteSent, p.RouteAcked},
	} {
		if len(p.Resources) == 0 && of[0] != "" && of[0] != of[1] {
			return "it has not taken the " + kind + " that it was sent"
		}
	}
	return ""
}

func lookAtProxies(v *view) {
	if v.ProxiesUnread != nil {
		v.cannot(v.ProxiesUnread.Error())
		return
	}
	known := map[string]Proxy{}
	for _, proxy := range v.Proxies {
		known[proxy.ID] = proxy
	}
	running := 0
	for _, pod := range all[corev1.Pod](v, pods) {
		for _, gw := range v.Mesh.Gateways {
			if pod.Namespace != gw.Namespace() || pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil || !labels.SelectorFromSet(gw.Selector).Matches(labels.Set(pod.Labels)) {
				continue
			}
			running++
			object := titleOf("Pod", pod.Namespace, pod.Name)
			proxy, is := known[pod.Name+"."+pod.Namespace]
			if !is {
				v.find(Finding{Code: "gateway-unknown-to-istiod", Severity: Error, Object: object, Message: fmt.Sprintf("no istiod serves this pod of egress gateway %q", gw.Name), Why: "new exits do not come to it", Fix: "see in its log (istio-proxy) why it does not reach istiod; a NetworkPolicy may be in between"})
				continue
			}
			if why := proxy.stale(v.Now); why != "" {
				v.find(Finding{Code: "gateway-stale", Severity: Error, Object: object, Message: fmt.Sprintf("this pod of egress gateway %q does not go by what istiod has for it: %s", gw.Name, why), Why: "new exits do not work, and old ones stay", Fix: "see its log (istio-proxy); an EnvoyFilter for the gateway is the commonest cause"})
			}
		}
	}
	if running == 0 {
		v.cannot("no pod of an egress gateway runs")
	}
}

// selected says whether a selector selects labels; an odd one selects none.
func selected(by *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(by)
	return err == nil && selector.Matches(labels.Set(set))
}
