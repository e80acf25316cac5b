package checkup

import "k8s.io/apimachinery/pkg/runtime/schema"

// The resources that are looked at.
var (
	namespaces  = schema.GroupResource{Resource: "namespaces"}
	services    = schema.GroupResource{Resource: "services"}
	pods        = schema.GroupResource{Resource: "pods"}
	configMaps  = schema.GroupResource{Resource: "configmaps"}
	secrets     = schema.GroupResource{Resource: "secrets"}
	deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
	leases      = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	slicesOf    = schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
	definitions = schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}

	mutating   = schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}
	validating = schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"}
	guards     = schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"}
	bindings   = schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"}

	roles               = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "roles"}
	roleBindings        = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}
	clusterRoles        = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}
	clusterRoleBindings = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}

	policies     = schema.GroupResource{Group: "egress-governor.io", Resource: "egresspolicies"}
	entries      = schema.GroupResource{Group: "networking.istio.io", Resource: "serviceentries"}
	envoyFilters = schema.GroupResource{Group: "networking.istio.io", Resource: "envoyfilters"}
)

// checks are all that are made, in the order in which they are told.
var checks = []check{
	{name: "configuration", about: "the webhook's configuration is there and can be read", needs: []schema.GroupResource{configMaps}, look: lookAtConfiguration},
	{name: "versions", about: "Kubernetes and Istio are ones that it runs with", needs: []schema.GroupResource{pods}, configured: true, look: lookAtVersions},
	{name: "kinds", about: "the kinds of Istio and of ours are there, in versions that are served", needs: []schema.GroupResource{definitions}, look: lookAtKinds},
	{name: "release", about: "the webhook's pods run, all of one version, and one leads", needs: []schema.GroupResource{deployments, pods, leases}, configured: true, look: lookAtRelease},
	{name: "webhooks", about: "the API server is told to ask the webhook, about everything, and to refuse where it does not answer", needs: []schema.GroupResource{mutating, validating}, look: lookAtWebhooks},
	{name: "endpoints", about: "the webhook's Service leads to ready pods", needs: []schema.GroupResource{services, slicesOf, validating}, look: lookAtEndpoints},
	{name: "certificate", about: "the webhook's certificate holds, and the API server trusts it", needs: []schema.GroupResource{deployments, secrets, mutating, validating}, configured: true, look: lookAtCertificate},
	{name: "admission", about: "what is asked of the API server comes back judged", configured: true, look: lookAtAnswers},
	{name: "guards", about: "the guards are there, bound, and deny", needs: []schema.GroupResource{guards, bindings}, configured: true, look: lookAtGuards},
	{name: "gateways", about: "the egress gateways are there, and take calls", needs: []schema.GroupResource{slicesOf}, configured: true, look: lookAtGateways},
	{name: "proxies", about: "the gateways have the configuration that istiod has for them", needs: []schema.GroupResource{pods}, configured: true, look: lookAtProxies},
	{name: "mesh", about: "the mesh's own configuration lets nothing past the gateways", needs: []schema.GroupResource{configMaps, namespaces}, configured: true, look: lookAtMesh},
	{name: "exits", about: "every entry has an exit, and is seen by whom it names", needs: []schema.GroupResource{entries}, configured: true, look: lookAtExits},
	{name: "suspended", about: "no entry is suspended", needs: []schema.GroupResource{entries}, configured: true, look: lookAtSuspended},
	{name: "ungoverned", about: "no entry leads straight out", configured: true, look: lookAtUngoverned},
	{name: "namespaces", about: "all namespaces are governed", needs: []schema.GroupResource{namespaces}, configured: true, look: lookAtNamespaces},
	{name: "sidecars", about: "pods of governed namespaces have sidecars", needs: []schema.GroupResource{namespaces, pods}, configured: true, look: lookAtPods},
	{name: "policies", about: "EgressPolicies are in force, and deny", needs: []schema.GroupResource{policies, namespaces}, look: lookAtPolicies},
	{name: "rules", about: "no rule of Istio's root namespace opens a way round", needs: []schema.GroupResource{envoyFilters}, configured: true, look: lookAtRules},
	{name: "rights", about: "nobody but administrators may open ways round", needs: []schema.GroupResource{roles, roleBindings, clusterRoles, clusterRoleBindings}, configured: true, look: lookAtRights},
}
