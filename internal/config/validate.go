package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// docsPage is a URL of the page of a code.
var docsPage = regexp.MustCompile(`^https://[^\s/?#]+/?\S*\{code\}\S*$`)

// validate names every field that cannot be used.
func (c *Configuration) validate() error {
	var bad problems
	bad.unlessOneOf("apiVersion", c.APIVersion, apiVersion)
	bad.unlessOneOf("kind", c.Kind, kind)
	if len(validation.IsDNS1123Subdomain(c.ClusterDomain)) > 0 {
		bad.add("clusterDomain", "%q is not a DNS name", c.ClusterDomain)
	}
	if len(validation.IsDNS1123Subdomain(c.TrustDomain)) > 0 {
		bad.add("trustDomain", "%q is not a DNS name", c.TrustDomain)
	}
	bad.unlessOneOf("serviceEntries", c.ServiceEntries, "Seal", "Leave")
	bad.unlessOneOf("virtualServices", c.VirtualServices, "Inject", "Leave")
	bad.unlessOneOf("exportTo", c.ExportTo, "AsWritten", "OwnNamespace")
	bad.unlessOneOf("unregistered", c.Unregistered, "Leave", "Block")
	bad.unlessOneOf("networkPolicies", c.NetworkPolicies, "Leave", "Manage")
	c.NetworkPolicy.validate(&bad)
	bad.unlessOneOf("dnsCapture", string(c.DNSCapture), "Detect", "On", "Off")
	if len(validation.IsDNS1123Label(c.MeshConfig.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(c.MeshConfig.Name)) > 0 {
		bad.add("meshConfig", "must give the namespace and name of a ConfigMap, is %q/%q", c.MeshConfig.Namespace, c.MeshConfig.Name)
	}
	if c.DocsURL != "" && !docsPage.MatchString(c.DocsURL) {
		bad.add("docsURL", "must be an https URL with {code} in it, or empty, is %q", c.DocsURL)
	}
	bad.unlessRanges("meshCIDRs", c.MeshCIDRs)
	bad.unlessRanges("clusterCIDRs", c.ClusterCIDRs)
	if c.MaxHostsPerNamespace < 0 {
		bad.add("maxHostsPerNamespace", "%d is below 0, which is no bound", c.MaxHostsPerNamespace)
	}
	if len(c.ClusterCIDRs) == 0 && slices.ContainsFunc(c.Gateways, func(g Gateway) bool { return g.Wildcards == "Resolve" }) {
		bad.add("clusterCIDRs", "must have the ranges of pods, Services and nodes where a gateway resolves wildcards: no name is to lead it there")
	}
	c.Baseline.validate(&bad)
	if c.Audit.Interval.Duration < time.Minute {
		bad.add("audit.interval", "must be 1m or more, is %s", c.Audit.Interval.Duration)
	}
	if c.Audit.ObjectsPerSecond < 1 {
		bad.add("audit.objectsPerSecond", "must be 1 or more, is %d", c.Audit.ObjectsPerSecond)
	}
	if c.Suspend.MaxShare < 0 || c.Suspend.MaxShare > 1 {
		bad.add("suspend.maxShare", "must be between 0 and 1, is %v", c.Suspend.MaxShare)
	}
	if c.ServiceEntries == "Leave" && c.VirtualServices == "Inject" {
		c.validateRoutes(&bad)
	}
	if len(c.Gateways) == 0 {
		bad.add("gateways", "must name at least one egress gateway")
	}
	for i, gateway := range c.Gateways {
		field := fmt.Sprintf("gateways[%d]", i)
		gateway.validate(&bad, field, c.ClusterDomain)
		for j, earlier := range c.Gateways[:i] {
			gateway.distinguish(&bad, field, earlier, j, c.ClusterDomain)
		}
	}
	return errors.Join(bad...)
}

// validateRoutes names what needs sealed entries, where routes alone lead to gateways.
func (c *Configuration) validateRoutes(bad *problems) {
	if c.ExportTo == "OwnNamespace" {
		bad.add("exportTo", "OwnNamespace is written into ServiceEntries, which serviceEntries Leave stores as they are")
	}
	for i, gateway := range c.Gateways {
		if gateway.Transport == string(egress.MutualTLS) {
			bad.add(fmt.Sprintf("gateways[%d].transport", i),
				"MutualTLS needs serviceEntries Seal: clients speak it to the endpoint of a sealed entry, and with Leave routes alone lead to the gateway")
		}
	}
}

func (b Baseline) validate(bad *problems) {
	bad.unlessOneOf("baseline.enforcement", string(b.Enforcement), "Deny", "Warn", "Audit", "Off")
	if _, err := metav1.LabelSelectorAsSelector(&b.NamespaceSelector); err != nil {
		bad.add("baseline.namespaceSelector", "%w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Policies)) {
		if enforcement := string(b.Policies[name].Enforcement); enforcement != "" {
			bad.unlessOneOf("baseline.policies."+name+".enforcement", enforcement, "Deny", "Warn", "Audit", "Off")
		}
		if _, err := metav1.LabelSelectorAsSelector(b.Policies[name].NamespaceSelector); err != nil {
			bad.add("baseline.policies."+name+".namespaceSelector", "%w", err)
		}
	}
}

// validate looks at a gateway alone.
func (g Gateway) validate(bad *problems, field, clusterDomain string) {
	if len(validation.IsDNS1123Label(g.Name)) > 0 || len(g.Name) > 40 {
		bad.add(field+".name", "%q is not a DNS label of at most 40 characters", g.Name)
	}
	if strings.HasSuffix(g.Name, "-mutual-tls") {
		bad.add(field+".name", "%q ends as the names of the Gateway objects of transport MutualTLS do", g.Name)
	}
	if g.namespace(clusterDomain) == "" {
		bad.add(field+".service", "%q is not of the form <name>.<namespace>.svc.%s", g.Service, clusterDomain)
	}
	if len(g.Selector) == 0 {
		bad.add(field+".selector", "must hold the labels of the gateway's pods")
	}
	if g.Ports.HTTP > 65535 {
		bad.add(field+".ports.http", "%d is not a port", g.Ports.HTTP)
	}
	if g.Ports.TLS > 65535 {
		bad.add(field+".ports.tls", "%d is not a port", g.Ports.TLS)
	}
	if g.Ports.HTTP == g.Ports.TLS {
		bad.add(field+".ports", "http and tls must be given and differ")
	}
	if g.Transport != "" && !slices.Contains(egress.Transports(), egress.Transport(g.Transport)) {
		bad.add(field+".transport", "%q is not available, only %v are", g.Transport, egress.Transports())
	}
	if g.Wildcards != "" {
		bad.unlessOneOf(field+".wildcards", g.Wildcards, "Refuse", "Resolve")
	}
	if g.ServiceAccount != "" && len(validation.IsDNS1123Subdomain(g.ServiceAccount)) > 0 {
		bad.add(field+".serviceAccount", "%q is not the name of a service account", g.ServiceAccount)
	}
	if g.Waypoint != nil {
		g.Waypoint.validate(bad, field+".waypoint", egress.Transport(g.Transport))
	}
}

// validate looks at the waypoint of a gateway with a transport.
func (w Waypoint) validate(bad *problems, field string, transport egress.Transport) {
	if len(validation.IsDNS1123Label(w.Name)) > 0 || w.Name == egress.NoWaypoint {
		bad.add(field+".name", "%q is not the name of a waypoint, a DNS label other than %s", w.Name, egress.NoWaypoint)
	}
	if w.Namespace != "" && len(validation.IsDNS1123Label(w.Namespace)) > 0 {
		bad.add(field+".namespace", "%q is not the name of a namespace", w.Namespace)
	}
	if transport == egress.MutualTLS {
		bad.add(field, "is for transport Plain: a waypoint calls the gateway in clear")
	}
}

// distinguish looks at what a gateway must not share with an earlier one.
func (g Gateway) distinguish(bad *problems, field string, earlier Gateway, index int, clusterDomain string) {
	if g.Name == earlier.Name {
		bad.add(field+".name", "%q is gateways[%d] already", g.Name, index)
	}
	if g.Service == earlier.Service {
		bad.add(field+".service", "%q is that of gateways[%d] already", g.Service, index)
	}
	if len(g.Selector) == 0 || len(earlier.Selector) == 0 {
		return
	}
	namespace := g.namespace(clusterDomain)
	if namespace == "" || namespace != earlier.namespace(clusterDomain) {
		return
	}
	// A pod serves what all Gateway objects that select it say: their servers merge.
	if contains(g.Selector, earlier.Selector) || contains(earlier.Selector, g.Selector) {
		bad.add(field+".selector", "{%s} and {%s} of gateways[%d] select the same pods in namespace %s, which would serve both gateways",
			labels.Set(g.Selector), labels.Set(earlier.Selector), index, namespace)
	}
}

// contains says whether every pod that the narrow selector matches is matched by the wide one.
func contains(narrow, wide labels.Set) bool {
	return labels.SelectorFromSet(wide).Matches(narrow)
}

// namespace returns the namespace of the gateway's Service, "" where that does not name one.
func (g Gateway) namespace(clusterDomain string) string {
	service, ok := strings.CutSuffix(g.Service, ".svc."+clusterDomain)
	name, namespace, _ := strings.Cut(service, ".")
	if !ok || len(validation.IsDNS1123Label(name)) > 0 || len(validation.IsDNS1123Label(namespace)) > 0 {
		return ""
	}
	return namespace
}

// problems are what is wrong, by field.
type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
}

func (p *problems) unlessOneOf(field, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.add(field, "must be %s, is %q", strings.Join(allowed, " or "), value)
	}
}

func (p *problems) unlessRanges(field string, values []string) {
	for i, value := range values {
		if _, err := netip.ParsePrefix(value); err != nil {
			p.add(fmt.Sprintf("%s[%d]", field, i), "%q is not a range of addresses such as 10.8.0.0/16", value)
		}
	}
}
