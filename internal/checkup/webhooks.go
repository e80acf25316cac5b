package checkup

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/emergency"
)

// closed is why it matters that nobody is asked.
const closed = "what the webhook would refuse, deny or seal is stored as it is written"

// The webhooks of the chart.
const (
	mutateWebhook   = "mutate.egress-governor.io"
	validateWebhook = "validate.egress-governor.io"
	policiesWebhook = "policies.egress-governor.io"
	policyWebhook   = "policy.egress-governor.io"
)

// nameLabel tells what the chart has made from what others have.
const nameLabel = "app.kubernetes.io/name"

// webhook is what both kinds of webhooks have in common.
type webhook struct {
	configuration, kind string
	admissionv1.ValidatingWebhook
}

// webhooks returns those of the chart, of both kinds.
func (v *view) webhooks() (out []webhook) {
	for _, of := range all[admissionv1.MutatingWebhookConfiguration](v, mutating) {
		if of.Labels[nameLabel] != chartRelease {
			continue
		}
		for _, each := range of.Webhooks {
			out = append(out, webhook{of.Name, "MutatingWebhookConfiguration", admissionv1.ValidatingWebhook{
				Name: each.Name, ClientConfig: each.ClientConfig, Rules: each.Rules, FailurePolicy: each.FailurePolicy,
				MatchPolicy: each.MatchPolicy, NamespaceSelector: each.NamespaceSelector, ObjectSelector: each.ObjectSelector, MatchConditions: each.MatchConditions,
			}})
		}
	}
	for _, of := range all[admissionv1.ValidatingWebhookConfiguration](v, validating) {
		if of.Labels[nameLabel] != chartRelease {
			continue
		}
		for _, each := range of.Webhooks {
			out = append(out, webhook{of.Name, "ValidatingWebhookConfiguration", each})
		}
	}
	return out
}

func lookAtWebhooks(v *view) {
	const reinstall = "helm upgrade the release, or apply its chart again"
	v.lookAtStop()
	found := v.webhooks()
	for name, kind := range map[string]string{
		mutateWebhook: "MutatingWebhookConfiguration", validateWebhook: "ValidatingWebhookConfiguration",
		policiesWebhook: "ValidatingWebhookConfiguration", policyWebhook: "ValidatingWebhookConfiguration",
	} {
		if !slices.ContainsFunc(found, func(each webhook) bool { return each.Name == name && each.kind == kind }) {
			v.find(Finding{
				Code: "webhook-missing", Severity: Error, Object: kind, Message: fmt.Sprintf("no %s has the webhook %s", kind, name), Why: closed, Fix: reinstall,
			})
		}
	}
	for _, each := range found {
		object := titleOf(each.kind, "", each.configuration)
		wrong := func(code, message, why string) {
			v.find(Finding{Code: code, Severity: Error, Object: object, Message: each.Name + " " + message, Why: why, Fix: reinstall})
		}
		if each.FailurePolicy == nil || *each.FailurePolicy != admissionv1.Fail {
			wrong("webhook-ignores-failure", "has failurePolicy Ignore", "while no replica answers, "+closed)
		}
		if said := v.narrowed(each); said != "" {
			wrong("webhook-narrowed", said, closed)
		}
		if said := v.uncovered(each); said != "" {
			wrong("webhook-narrowed", said, closed)
		}
	}
	slices.SortStableFunc(v.findings, func(a, b Finding) int { return strings.Compare(a.Message, b.Message) })
}

// lookAtStop says what somebody has stopped.
func (v *view) lookAtStop() {
	for _, resource := range []schema.GroupResource{mutating, validating, guards} {
		for _, object := range v.Objects[resource] {
			for _, of := range emergency.Finding(object) {
				message, why, _ := strings.Cut(of.Message, ": objects")
				v.find(Finding{Code: of.Code, Severity: Error, Object: title(object), Message: message, Why: "objects" + why, Fix: of.Fix})
			}
		}
	}
	if err := v.Unread[guards]; err != nil {
		v.cannot(err.Error())
	}
}

// narrowed says what keeps a webhook from being asked, beside what the chart writes.
func (v *view) narrowed(each webhook) string {
	for _, condition := range each.MatchConditions {
		// That of a stop is told otherwise.
		if text, is := chartConditions[condition.Name]; condition.Name != emergency.Condition && (!is || !same(text, condition.Expression)) {
			return fmt.Sprintf("has a match condition %q that the chart does not write", condition.Name)
		}
	}
	if selector := each.ObjectSelector; selector != nil && len(selector.MatchLabels)+len(selector.MatchExpressions) > 0 {
		return "has an objectSelector"
	}
	if v.Configuration == nil {
		v.cannot("whether the webhooks are for the namespaces of the configuration: " + v.Unconfigured)
		return ""
	}
	want := v.Configuration.NamespaceSelector
	if each.Name == policyWebhook {
		want = metav1.LabelSelector{}
	}
	if !equality.Semantic.DeepEqual(ordered(each.NamespaceSelector), ordered(&want)) {
		return "has another namespaceSelector than the webhook's configuration"
	}
	return ""
}

// plural is the resource of a governed kind.
func plural(kind string) string {
	kind = strings.ToLower(kind)
	if stem, is := strings.CutSuffix(kind, "ry"); is {
		return stem + "ries"
	}
	return kind + "s"
}

func lookAtEndpoints(v *view) {
	said := map[string]bool{}
	for _, each := range v.webhooks() {
		of := each.ClientConfig.Service
		if of == nil || said[of.Namespace+"/"+of.Name] {
			continue
		}
		said[of.Namespace+"/"+of.Name] = true
		object := titleOf("Service", of.Namespace, of.Name)
		service := v.named(services, of.Namespace, of.Name)
		const why = "the API server reaches no webhook, and refuses whatever it would have been asked about"
		if service == nil {
			v.find(Finding{Code: "webhook-service-missing", Severity: Error, Object: object, Message: "the Service that the webhook configurations name does not exist", Why: why, Fix: "helm upgrade the release, or apply its chart again"})
			continue
		}
		port := int32(443)
		if of.Port != nil {
			port = *of.Port
		}
		read, err := as[corev1.Service](service)
		if err == nil && !slices.ContainsFunc(read.Spec.Ports, func(each corev1.ServicePort) bool { return each.Port == port }) {
			v.find(Finding{Code: "webhook-service-port", Severity: Error, Object: object, Message: fmt.Sprintf("the Service has no port %d, which the webhook configurations name", port), Why: why, Fix: "helm upgrade the release, or apply its chart again"})
		}
		if v.ready(of.Namespace, of.Name) == 0 {
			v.find(Finding{
				Code: "webhook-without-endpoints", Severity: Error, Object: object, Message: "no ready pod is behind the webhook's Service", Why: why,
				Fix: fmt.Sprintf("see why its pods are not ready: kubectl -n %s get pods; if that takes long: egressctl stop", of.Namespace),
			})
		}
	}
	if len(said) == 0 {
		v.cannot("the webhook configurations name no Service, so it is not known which leads to the webhook")
	}
}

// ready counts the ready endpoints of a Service.
func (v *view) ready(namespace, service string) (out int) {
	for _, slice := range all[discoveryv1.EndpointSlice](v, slicesOf) {
		if slice.Namespace != namespace || slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				out += len(endpoint.Addresses)
			}
		}
	}
	return out
}
