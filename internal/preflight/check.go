// Package preflight tells what is wrong around the webhook before it hurts: an egress gateway that cannot carry calls,
// a mesh that lets calls out beside it.
package preflight

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Problem is something that is wrong, and what follows from it.
type Problem struct {
	// Code names the kind of problem, as the metric does.
	Code string
	// Message is a sentence for an operator.
	Message string
}

// Service says why a gateway's Service cannot carry calls; nil stands for a Service that does not exist.
func Service(gw egress.Gateway, service *corev1.Service) []Problem {
	if service == nil {
		return []Problem{{"GatewayServiceMissing", fmt.Sprintf("Service %s of egress gateway %q does not exist: every call through it fails", gw.Service, gw.Name)}}
	}
	var out []Problem
	for _, family := range []egress.Family{egress.FamilyHTTP, egress.FamilyTLS} {
		want := gw.Port(family)
		if want == 0 || hasPort(service, want) {
			continue
		}
		out = append(out, Problem{"GatewayPortMissing", fmt.Sprintf("Service %s of egress gateway %q has no port %d: %s calls through it fail", gw.Service, gw.Name, want, family)})
	}
	return out
}

func hasPort(service *corev1.Service, number uint32) bool {
	for _, port := range service.Spec.Ports {
		if uint32(port.Port) == number {
			return true
		}
	}
	return false
}

// Pods says why no proxy takes a gateway's exits: pods are those that the gateway's selector matches.
func Pods(gw egress.Gateway, pods []corev1.Pod) []Problem {
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			return nil
		}
	}
	return []Problem{{"GatewayWithoutPods", fmt.Sprintf("no running pod of namespace %s matches the selector %s of egress gateway %q: every call through it fails", gw.Namespace(), labels.Set(gw.Selector), gw.Name)}}
}

// Outbound says what leaves beside the gateway, by Istio's mesh configuration (the key mesh of its ConfigMap). The error
// is that of a configuration that is not YAML.
func Outbound(meshConfig string) ([]Problem, error) {
	var parsed struct {
		OutboundTrafficPolicy struct {
			Mode string `json:"mode"`
		} `json:"outboundTrafficPolicy"`
	}
	if err := yaml.Unmarshal([]byte(meshConfig), &parsed); err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	if strings.EqualFold(parsed.OutboundTrafficPolicy.Mode, "REGISTRY_ONLY") {
		return nil, nil
	}
	return []Problem{{"OutboundAllowAny", "the mesh's outboundTrafficPolicy is ALLOW_ANY: hosts that no ServiceEntry names, and unnamed ports of governed hosts, leave directly and are not governed; set REGISTRY_ONLY"}}, nil
}
