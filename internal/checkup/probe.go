package checkup

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Probe is an object of which the API server is asked, without storing it, what it would store.
type Probe struct {
	Resource schema.GroupVersionResource
	Object   *unstructured.Unstructured
	// Refused says that the webhook must refuse it, whatever the policies; otherwise it must answer.
	Refused bool
}

// Answer is what the API server answered.
type Answer struct {
	Probe
	Stored *unstructured.Unstructured
	Err    error
}

var (
	policyResource = schema.GroupVersionResource{Group: "egress-governor.io", Version: "v1alpha1", Resource: "egresspolicies"}
	entryResource  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}
)

// probeName is that of every object.
const probeName = "egress-governor-check"

// Probes returns an object that must be answered, and one that must be refused, of each kind of question; those about entries are of a
// governed namespace, and left out where it is empty.
func Probes(namespace string) []Probe {
	policy := func(spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "egress-governor.io/v1alpha1", "kind": "EgressPolicy", "metadata": map[string]any{"name": probeName}, "spec": spec,
		}}
	}
	out := []Probe{
		{Resource: policyResource, Object: policy(map[string]any{"policy": "allowed-hosts", "enforcement": "Audit", "parameters": map[string]any{"hosts": []any{"check.example.com"}}})},
		{Resource: policyResource, Object: policy(map[string]any{"policy": "no-such-policy-of-egress-governor-check"}), Refused: true},
	}
	if namespace == "" {
		return out
	}
	entry := func(host string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": map[string]any{"name": probeName, "namespace": namespace},
			"spec": map[string]any{
				"hosts": []any{host}, "resolution": "DNS", "exportTo": []any{"."},
				"ports": []any{map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"}},
			},
		}}
	}
	return append(out,
		Probe{Resource: entryResource, Object: entry(probeName + ".example.com")},
		// No gateway leads to a cloud's metadata server; and where nothing is rewritten, a host is written in small letters.
		Probe{Resource: entryResource, Object: entry("METADATA.google.internal"), Refused: true},
	)
}

// Ask puts probes to a function that has the API server say what it would store.
func Ask(probes []Probe, dryRun func(Probe) (*unstructured.Unstructured, error)) (out []Answer) {
	for _, probe := range probes {
		stored, err := dryRun(probe)
		out = append(out, Answer{probe, stored, err})
	}
	return out
}

func lookAtAnswers(v *view) {
	if len(v.Answers) == 0 {
		v.cannot("the API server was asked nothing")
		return
	}
	entries := false
	for _, answer := range v.Answers {
		entries = entries || answer.Object.GetKind() == "ServiceEntry"
		finding, unknown := answer.Judge(v.Mesh)
		if unknown != "" {
			v.cannot(unknown)
		}
		if finding != nil {
			v.find(*finding)
		}
	}
	if err := v.Unread[namespaces]; err != nil {
		v.cannot(err.Error())
	}
	governs := slices.ContainsFunc(v.Objects[namespaces], func(namespace *unstructured.Unstructured) bool { return v.Governed(namespace.GetName()) })
	if !entries && governs {
		v.cannot("what becomes of entries: the API server was not asked")
	}
}

// byWebhook is what the API server says before an answer of the webhook's.
var byWebhook = []string{
	`admission webhook "` + mutateWebhook, `admission webhook "` + validateWebhook, `admission webhook "` + policyWebhook,
}

// Judge says what is wrong by an answer, nil for nothing, or why it tells nothing.
func (a Answer) Judge(mesh *egress.Mesh) (wrong *Finding, unknown string) {
	object := a.Object.GetKind()
	if namespace := a.Object.GetNamespace(); namespace != "" {
		object += " in namespace " + namespace
	}
	of := func(code, message, why, fix string) (*Finding, string) {
		return &Finding{Code: code, Severity: Error, Object: object, Message: message, Why: why, Fix: fix}, ""
	}
	judged := a.judged()
	switch message := fmt.Sprint(a.Err); {
	case a.Err != nil && strings.Contains(message, "failed calling webhook"), a.Err != nil && strings.Contains(message, "failed to call webhook"):
		return of("webhook-unreachable", "the API server does not reach the webhook: "+message, "whatever it would be asked about is refused",
			"see the checks endpoints and certificate, and whether a NetworkPolicy or a firewall is between the API server and port 9443 of the pods; if that takes long: egressctl stop")
	case a.Err != nil && apierrors.IsForbidden(a.Err) && strings.Contains(message, "cannot create resource"):
		return nil, message
	case judged && a.Object.GetKind() == "EgressPolicy" && !a.Refused:
		return of("webhook-refuses", "an EgressPolicy that is right is refused: "+message, "policies cannot be written", "see in the webhook's log why, and whether all replicas run one version")
	case judged:
		return nil, ""
	case strings.Contains(message, "ValidatingAdmissionPolicy"), a.Err == nil && a.Refused, a.Err == nil && a.unsealed(mesh):
		return of("webhook-not-asked", "the API server does not ask the webhook: "+a.said(), closed,
			"see the check webhooks; where it is sound, whether the API server was told lately of another configuration")
	case a.Err != nil:
		return nil, message
	}
	return nil, ""
}

// judged says whether the webhook itself has said no.
func (a Answer) judged() bool {
	if a.Err == nil {
		return false
	}
	for _, start := range byWebhook {
		if strings.Contains(a.Err.Error(), start) && strings.Contains(a.Err.Error(), "denied the request") {
			return true
		}
	}
	return false
}

// unsealed says whether an entry would be stored as it was written, and must not be.
func (a Answer) unsealed(mesh *egress.Mesh) bool {
	if a.Stored == nil || a.Object.GetKind() != "ServiceEntry" || mesh == nil || !mesh.Seal {
		return false
	}
	_, sealed := hop.SealedTo(a.Stored, mesh)
	return !sealed
}

// said is what came of it instead.
func (a Answer) said() string {
	switch {
	case a.Err != nil:
		return "a guard has refused what the webhook must refuse or seal before it"
	case a.Refused:
		return "it accepts what the webhook must refuse"
	}
	return "it would store an entry that is not sealed"
}
