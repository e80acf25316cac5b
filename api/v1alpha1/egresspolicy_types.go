// Package v1alpha1 holds the API types of egress-governor.io/v1alpha1.
// +kubebuilder:object:generate=true
// +groupName=egress-governor.io
package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "egress-governor.io", Version: "v1alpha1"}

// AddToScheme adds the types of this package to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &EgressPolicy{}, &EgressPolicyList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Enforcement says what a violation does.
// +kubebuilder:validation:Enum=Deny;Warn;Audit
type Enforcement string

const (
	// Deny refuses the request.
	Deny Enforcement = "Deny"
	// Warn lets the request pass with a warning to its author.
	Warn Enforcement = "Warn"
	// Audit lets the request pass and records the violation in logs, metrics and the audit log.
	Audit Enforcement = "Audit"
)

// Existing says what becomes of objects that are stored and violate the policy.
// +kubebuilder:validation:Enum=Report;Suspend
type Existing string

const (
	// Report has them counted and told of.
	Report Existing = "Report"
	// Suspend closes the exits of ServiceEntries as well, until they do not violate the policy any more.
	Suspend Existing = "Suspend"
)

// ConditionReady is true while the policy that the spec describes is in force.
const ConditionReady = "Ready"

// ConditionSuspendHeld is true while the policy would suspend more exits at once than suspend.maxShare lets it.
const ConditionSuspendHeld = "SuspendHeld"

// AnnotationConfirmSuspend lets a policy suspend as many as it says; its value is the generation that was looked at,
// with a word for its parameters where it shares some.
const AnnotationConfirmSuspend = "egress-governor.io/confirm-suspend"

// Kind is a governed kind.
// +kubebuilder:validation:Enum=DestinationRule;EnvoyFilter;GRPCRoute;Gateway;HTTPRoute;ProxyConfig;ServiceEntry;Sidecar;TCPRoute;TLSRoute;TrafficExtension;VirtualService;WasmPlugin;WorkloadEntry;WorkloadGroup
type Kind string

// Kinds are all governed kinds.
var Kinds = []Kind{
	"DestinationRule", "EnvoyFilter", "GRPCRoute", "Gateway", "HTTPRoute", "ProxyConfig", "ServiceEntry", "Sidecar", "TCPRoute",
	"TLSRoute", "TrafficExtension", "VirtualService", "WasmPlugin", "WorkloadEntry", "WorkloadGroup",
}

// DefaultKinds are those that are governed whether or not a policy asks for them.
var DefaultKinds = []Kind{"DestinationRule", "GRPCRoute", "Gateway", "HTTPRoute", "ServiceEntry", "TCPRoute", "TLSRoute", "VirtualService"}

// BaselinePrefix is that of the names of the EgressPolicies that are kept as the chart's values have them.
const BaselinePrefix = "baseline-"

// NamespacePattern is the name of a namespace; "*" in it stands for any characters, also for none, as in "team-*".
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`
type NamespacePattern string

// UserName is the name of a user or of a group, as the API server knows it; none stands for several.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
type UserName string

// Match selects what a policy evaluates. Whatever is given must hold.
type Match struct {
	// NamespaceSelector selects namespaces by their labels: those that the objects are of, and those that they are
	// exported to.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Namespaces selects namespaces by their names, as namespaceSelector does by their labels; "team-*" stands for all whose
	// names begin so. Where both are given, it takes both.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	// +listType=set
	Namespaces []NamespacePattern `json:"namespaces,omitempty"`
	// Exclude names namespaces for which the policy does not count, whatever else selects them. What such a namespace exports
	// to one that is selected is evaluated for that one all the same.
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:XValidation:rule="self.all(name, !name.matches('^[*]+$'))",message="would exclude every namespace: delete the policy, or have it Audit"
	// +optional
	// +listType=set
	Exclude []NamespacePattern `json:"exclude,omitempty"`
	// ObjectSelector selects objects by their own labels. Beware: who writes an object sets its labels, so that whoever
	// labels it otherwise escapes the policy. It is for rolling a policy out, and not for keeping anybody out; namespaces
	// and namespaceSelector are.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`
	// ExcludeUsers are users to whose requests the policy does not apply, to break the glass. Each use is answered with a
	// warning, and noted in the API server's audit log. What is stored by one is evaluated by the audit, which knows no
	// users, and by existing: Suspend loses its exit.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	// +listType=set
	ExcludeUsers []UserName `json:"excludeUsers,omitempty"`
	// ExcludeGroups are groups to whose users the policy does not apply, as excludeUsers says.
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="!('system:authenticated' in self)",message="system:authenticated is everybody: delete the policy, or have it Audit"
	// +optional
	// +listType=set
	ExcludeGroups []UserName `json:"excludeGroups,omitempty"`
	// Kinds are the kinds that the policy evaluates; those that the policy's METADATA names by default, or else
	// DestinationRule, Gateway, ServiceEntry, VirtualService and the routes of the Gateway API.
	// +optional
	// +listType=set
	Kinds []Kind `json:"kinds,omitempty"`
}

// Message is a sentence of a denial.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
type Message string

// EgressPolicySpec says what is evaluated, by which policy, and what a violation does.
// +kubebuilder:validation:XValidation:rule="has(self.policy) != has(self.rego)",message="exactly one of policy and rego must be given"
// +kubebuilder:validation:XValidation:rule="!has(self.existing) || self.existing != 'Suspend' || !has(self.enforcement) || self.enforcement == 'Deny'",message="Suspend needs enforcement Deny",fieldPath=".existing"
type EgressPolicySpec struct {
	// Enforcement says what a violation does: Deny refuses the object, Warn lets it pass with a warning to its author, and Audit lets
	// it pass and records the violation in logs, metrics and the API server's audit log.
	// +kubebuilder:default=Deny
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
	// Existing says what becomes of objects that are stored and violate the policy: Report has them counted and told of, and Suspend
	// closes the exits of ServiceEntries as well, until they do not violate it any more; it needs enforcement Deny.
	// +kubebuilder:default=Report
	// +optional
	Existing Existing `json:"existing,omitempty"`
	// Match selects what the policy evaluates.
	// +optional
	Match Match `json:"match,omitempty"`
	// Policy names a policy of the library, or one of a bundle as <bundle>/<policy>.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^/]+(/[^/]+)?$')",message="must be a policy of the library, or <bundle>/<policy>"
	// +optional
	Policy string `json:"policy,omitempty"`
	// Rego is a policy of your own: a Rego v1 module with "deny contains result" or "warn contains result".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	// +optional
	Rego string `json:"rego,omitempty"`
	// Docs is the https URL of a page about the policy, which stands under everything that the policy says.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^https://[^\\s/?#]+\\S*$')",message="must be an https URL"
	// +optional
	Docs string `json:"docs,omitempty"`
	// Messages are sentences in the place of the policy's own, by the codes of its rules. They say what is wrong; the field
	// stands before them and the fix after them in any case.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(code, !self[code].contains('%') && !self[code].contains('\\n'))",message="a message is a sentence on one line, without %"
	// +optional
	Messages map[string]Message `json:"messages,omitempty"`
	// Parameters reach the policy as input.parameters. Those that it never reads are told at apply, and in Ready.
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Parameters *apiextensionsv1.JSON `json:"parameters,omitempty"`
	// ParametersFrom names parameters that policies share: those of parameters lie over them, and objects within objects are
	// put together alike. They are kept current. While they are not there, or do not fit, the last good version of the policy
	// stays in force and Ready is False; without one, the policy fails whatever it selects, as its enforcement says.
	// +optional
	ParametersFrom *ParametersSource `json:"parametersFrom,omitempty"`
}

// ParametersSource is where parameters are that policies share.
type ParametersSource struct {
	// ConfigMap is the name of one in the namespace of the release.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	ConfigMap string `json:"configMap"`
	// Key of its data whose text is an object of parameters, in YAML or JSON.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// Suspends says whether stored objects that violate the policy lose their exits.
func (s EgressPolicySpec) Suspends() bool {
	return s.Existing == Suspend && (s.Enforcement == Deny || s.Enforcement == "")
}

// EgressPolicyStatus says whether the policy is in force, and what violates it.
type EgressPolicyStatus struct {
	// ObservedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Violations is how many the last audit found in what is stored.
	// +optional
	Violations *int64 `json:"violations,omitempty"`
	// Requests counts what the policy said of requests; dry runs are not counted. Each replica of the webhook adds its own, at
	// most once a minute, and what one counted that ended by force is missing.
	// +optional
	Requests *Requests `json:"requests,omitempty"`
	// Conditions hold Ready, with the compiler's own message where it is false, Failing, SelectsNothing and SuspendHeld.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Requests counts requests by what a policy said of them.
type Requests struct {
	// Judged is how many the policy was asked about.
	// +optional
	Judged int64 `json:"judged"`
	// Audited is how many violated it and were recorded alone.
	// +optional
	Audited int64 `json:"audited"`
	// Warned is how many were answered with a warning of it.
	// +optional
	Warned int64 `json:"warned"`
	// Denied is how many it denied.
	// +optional
	Denied int64 `json:"denied"`
	// Failed is how many it could not be evaluated for; a policy that denies refused these.
	// +optional
	Failed int64 `json:"failed"`
}

// Add adds other counts.
func (r *Requests) Add(other Requests) {
	r.Judged, r.Audited = r.Judged+other.Judged, r.Audited+other.Audited
	r.Warned, r.Denied = r.Warned+other.Warned, r.Denied+other.Denied
	r.Failed += other.Failed
}

// EgressPolicy says how objects lead traffic out of the mesh.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=egp
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="argocd.argoproj.io/sync-options=Prune=false,Delete=false"
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/prune=disabled"
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policy`
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.spec.enforcement`
// +kubebuilder:printcolumn:name="Violations",type=integer,JSONPath=`.status.violations`
// +kubebuilder:printcolumn:name="Judged",type=integer,JSONPath=`.status.requests.judged`
// +kubebuilder:printcolumn:name="Audited",type=integer,JSONPath=`.status.requests.audited`
// +kubebuilder:printcolumn:name="Warned",type=integer,JSONPath=`.status.requests.warned`
// +kubebuilder:printcolumn:name="Denied",type=integer,JSONPath=`.status.requests.denied`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.requests.failed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EgressPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EgressPolicySpec   `json:"spec"`
	Status EgressPolicyStatus `json:"status,omitempty"`
}

// EgressPolicyList is a list of EgressPolicies.
// +kubebuilder:object:root=true
type EgressPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []EgressPolicy `json:"items"`
}
