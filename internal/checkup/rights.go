package checkup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// right is one that opens a way round.
type right struct {
	code, what, why, fix string
	group                string
	resources, verbs     []string
	// in are the namespaces where it matters; nil for what is the whole cluster's.
	in []string
	// names are the objects that it matters for; any where there are none. A right to others by name opens nothing.
	names []string
}

// opening returns the rights that are looked for.
func (v *view) opening() []right {
	gateways := []string{}
	for _, gw := range v.Mesh.Gateways {
		if !slices.Contains(gateways, gw.Namespace()) {
			gateways = append(gateways, gw.Namespace())
		}
	}
	write := []string{"create", "update", "patch", "delete", "deletecollection"}
	change := []string{"update", "patch", "delete", "deletecollection"}
	out := []right{
		{code: "admission-writable", what: "webhook configurations or guards may be changed", why: "who may do that takes the webhook or the guards out of the way",
			group: mutating.Group, resources: []string{mutating.Resource, validating.Resource, guards.Resource, bindings.Resource}, verbs: change, names: v.admissionNames()},
		{code: "policies-writable", what: "EgressPolicies may be changed", why: "who may do that decides which hosts are reached",
			group: policies.Group, resources: []string{policies.Resource}, verbs: change},
		{code: "exits-writable", what: "Istio's objects may be written in the namespaces of the gateways", why: "nobody judges them there, and they lead the gateways anywhere",
			group: entries.Group, resources: []string{"serviceentries", "virtualservices", "destinationrules", "gateways", "envoyfilters"}, verbs: write, in: gateways},
		{code: "gateway-pods-writable", what: "pods may be made or entered in the namespaces of the gateways", why: "who runs there leaves as a gateway does",
			resources: []string{"pods", "pods/exec", "pods/ephemeralcontainers"}, verbs: []string{"create", "update", "patch"}, in: gateways},
		{code: "release-writable", what: "Secrets, ConfigMaps or pods of the release's namespace may be changed or entered", why: "who may do that answers in the webhook's name, or changes what it goes by",
			resources: []string{"secrets", "configmaps", "pods", "pods/exec", "serviceaccounts/token"}, verbs: write, in: []string{v.Release.Namespace}},
		{code: "root-filters-writable", what: "EnvoyFilters may be written in Istio's root namespace", why: "nobody judges them there, and they change where any proxy leads calls",
			group: entries.Group, resources: []string{"envoyfilters", "sidecars", "destinationrules"}, verbs: write, in: []string{v.Configuration.MeshConfig.Namespace}},
		{code: "guards-avoidable", what: "the group to which no guard applies may be impersonated", why: "who may do that stores what the guards would catch; the audit log has it",
			resources: []string{"groups"}, verbs: []string{"impersonate"}, names: []string{"egress-governor:break-glass"}},
		{code: "rights-grantable", what: "rights that one does not have oneself may be granted", why: "who may do that may do everything",
			group: clusterRoles.Group, resources: []string{clusterRoles.Resource}, verbs: []string{"escalate", "bind"}},
	}
	for i := range out {
		if out[i].fix == "" {
			out[i].fix = "narrow the roles by which they have it, or see that they are the platform team's"
		}
	}
	return append(out, v.labelling())
}

// labelling is the right to take a namespace out: by the guard of labels, where that denies, who has its verb; otherwise who may write
// namespaces.
func (v *view) labelling() right {
	out := right{
		code: "labels-writable", what: "namespaces may be exempted, or led by another gateway", why: "who may do that takes his namespace out of what is governed",
		fix:   "narrow the roles by which they have it, or see that they are the platform team's",
		group: "egress-governor.io", resources: []string{"namespaces"}, verbs: []string{"label"},
	}
	for _, binding := range v.Objects[bindings] {
		if of, err := as[denies](binding); err == nil && of.Spec.PolicyName == v.Release.Name+"-namespace-labels" && slices.Contains(of.Spec.ValidationActions, "Deny") {
			return out
		}
	}
	out.group, out.verbs = "", []string{"update", "patch"}
	return out
}

// denies is what is asked of a binding.
type denies struct {
	Spec struct {
		PolicyName        string   `json:"policyName"`
		ValidationActions []string `json:"validationActions"`
	} `json:"spec"`
}

// admissionNames are those of the webhook configurations and guards.
func (v *view) admissionNames() []string {
	out := []string{v.Release.Name}
	for _, guard := range v.Guards {
		out = append(out, v.Release.Name+strings.TrimPrefix(guard.GetName(), chartRelease))
	}
	return out
}

// grant is a binding with the rules of its role; namespace is empty for one in the whole cluster.
type grant struct {
	namespace string
	rules     []rbacv1.PolicyRule
	subjects  []rbacv1.Subject
}

func lookAtRights(v *view) {
	grants, trusted := v.grants()
	for _, right := range v.opening() {
		who := map[string]bool{}
		everybody := false
		for _, grant := range grants {
			if !grant.gives(right) {
				continue
			}
			for _, subject := range grant.subjects {
				name := nameOf(subject, grant.namespace)
				if trusted[name] || v.trusts(subject, grant.namespace) {
					continue
				}
				who[name] = true
				everybody = everybody || subject.Kind == rbacv1.GroupKind && slices.Contains(anybody, subject.Name)
			}
		}
		if len(who) == 0 {
			continue
		}
		severity := Warning
		if everybody {
			severity = Error
		}
		v.find(Finding{Code: right.code, Severity: severity, Message: right.what + " by " + some(slices.Collect(maps.Keys(who))), Why: right.why, Fix: right.fix})
	}
}

// anybody are the groups of everybody.
var anybody = []string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}

// grants returns all bindings, and the subjects that have every right: those of cluster-admin.
func (v *view) grants() (out []grant, trusted map[string]bool) {
	rules := map[string][]rbacv1.PolicyRule{}
	for _, role := range all[rbacv1.ClusterRole](v, clusterRoles) {
		rules["/"+role.Name] = role.Rules
	}
	for _, role := range all[rbacv1.Role](v, roles) {
		rules[role.Namespace+"/"+role.Name] = role.Rules
	}
	trusted = map[string]bool{}
	for _, binding := range all[rbacv1.ClusterRoleBinding](v, clusterRoleBindings) {
		out = append(out, grant{"", rules["/"+binding.RoleRef.Name], binding.Subjects})
		for _, subject := range binding.Subjects {
			if binding.RoleRef.Name == "cluster-admin" && !slices.Contains(anybody, subject.Name) {
				trusted[nameOf(subject, "")] = true
			}
		}
	}
	for _, binding := range all[rbacv1.RoleBinding](v, roleBindings) {
		role := "/" + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			role = binding.Namespace + role
		}
		out = append(out, grant{binding.Namespace, rules[role], binding.Subjects})
	}
	return out, trusted
}

// gives says whether a grant has a right.
func (g grant) gives(right right) bool {
	if g.namespace != "" && !slices.Contains(right.in, g.namespace) {
		return false
	}
	return slices.ContainsFunc(g.rules, func(rule rbacv1.PolicyRule) bool {
		named := len(rule.ResourceNames) == 0 || slices.ContainsFunc(rule.ResourceNames, func(name string) bool { return slices.Contains(right.names, name) })
		return named && has(rule.APIGroups, right.group) && has(rule.Resources, right.resources...) && has(rule.Verbs, right.verbs...)
	})
}

// has says whether a list has one of the words, or all of them by a star.
func has(list []string, words ...string) bool {
	return slices.ContainsFunc(list, func(each string) bool { return each == "*" || slices.Contains(words, each) })
}

// trusts says whether a subject is the cluster's own: Kubernetes' and Istio's controllers, the webhook, and the groups of administrators.
func (v *view) trusts(subject rbacv1.Subject, namespace string) bool {
	switch subject.Kind {
	case rbacv1.GroupKind:
		return slices.Contains([]string{"system:masters", "kubeadm:cluster-admins", "system:nodes", "system:monitoring"}, subject.Name)
	case rbacv1.UserKind:
		return strings.HasPrefix(subject.Name, "system:kube-")
	}
	if subject.Namespace != "" {
		namespace = subject.Namespace
	}
	return slices.Contains([]string{"kube-system", v.Configuration.MeshConfig.Namespace, v.Release.Namespace}, namespace)
}

func nameOf(subject rbacv1.Subject, namespace string) string {
	if subject.Kind == rbacv1.ServiceAccountKind {
		if subject.Namespace != "" {
			namespace = subject.Namespace
		}
		return fmt.Sprintf("ServiceAccount %s/%s", namespace, subject.Name)
	}
	return subject.Kind + " " + subject.Name
}
