package review

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What an entry may claim: names, addresses, exits, callers and clients.

// claims refuses the names of Services, in each form that a pod's search path makes of them: hosts of an external entry
// and of another namespace's Service, and endpoints to which a gateway would be led.
func claims(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	for i, host := range intent.Hosts {
		service := s.Mesh.ServiceOf(host, s.View)
		if service == "" || (!intent.External() && strings.HasSuffix(service, "."+s.Namespace.Name+".svc."+s.Mesh.ClusterDomain)) {
			continue
		}
		out = append(out, egress.Finding{
			Code: "service-host", Field: field.NewPath("spec", "hosts").Index(i).String(),
			Message: fmt.Sprintf("host %q is %s of the mesh, whose calls the entry would take", host, egress.Naming(host, service)),
			Fix:     "remove the host; a Service needs no ServiceEntry",
		})
	}
	for i, address := range intent.Addresses {
		if service := s.serviceAt(address); service != "" {
			out = append(out, egress.Finding{
				Code: "service-address", Field: field.NewPath("spec", "addresses").Index(i).String(),
				Message: fmt.Sprintf("address %s is Service %s of the mesh, whose calls the entry would take", address, service),
				Fix:     "remove the address; a Service needs no ServiceEntry",
			})
		}
	}
	for i, endpoint := range intent.Endpoints {
		service := s.serviceAt(endpoint.Address)
		what := "Service " + service
		if named := s.Mesh.ServiceOf(endpoint.Address, s.View); named != "" {
			service, what = named, egress.Naming(endpoint.Address, named)
		}
		_, itself := s.Mesh.GatewayByService(endpoint.Address) // checkAddress says so
		if service != "" && intent.External() && !itself && !intent.AtAddress {
			out = append(out, egress.Finding{
				Code: "deputy-endpoint", Field: field.NewPath("spec", "endpoints").Index(i).Child("address").String(),
				Message: fmt.Sprintf("address %q is %s of the mesh", endpoint.Address, what),
				Fix:     "give the address of the external host, or none",
			})
		}
	}
	return out
}

// serviceAt returns the Service at an address, or in a range of one, empty for none.
func (s *subject) serviceAt(address string) string {
	if ip, single := egress.SingleIP(address); single {
		return s.View.ServiceAt(ip)
	}
	return ""
}

// hostsOf refuses more exits than a namespace may have. What is stored already may be written as it is.
func hostsOf(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	take := func(entry *egress.ServiceEntry) int {
		return egress.Exits(len(entry.Hosts), entry.Ports, s.gateway.Transport)
	}
	_, before := s.listenedBefore()
	if s.Mesh.MaxHosts == 0 || before != nil && take(intent) <= take(before) {
		return nil
	}
	others := s.View.HostsOf(s.Namespace.Name, s.Object.GetName())
	if others+take(intent) <= s.Mesh.MaxHosts {
		return nil
	}
	return hop.Refusals{{
		Code: "too-many-hosts", Field: "spec.hosts",
		Message: fmt.Sprintf("the entries of namespace %q take %d exits, one a host or, by MutualTLS, one a TLS or TCP port of a host, and with these they would be more than %d", s.Namespace.Name, others, s.Mesh.MaxHosts),
		Fix:     "remove hosts that are not called, or ask the platform team for more (maxHostsPerNamespace)",
	}}
}

// accountsOf refuses service accounts that cannot be read, or that the gateway could not tell from others.
func accountsOf(s *subject) hop.Refusals {
	accounts, refusals := hop.Accounts(s.Object)
	if accounts != nil && s.gateway.Transport != egress.MutualTLS {
		refusals = append(refusals, egress.Finding{
			Code: "service-accounts", Field: field.NewPath("metadata", "annotations").Key(hop.AccountsAnnotation).String(),
			Message: fmt.Sprintf("egress gateway %q has transport %s, and so does not know which service account calls", s.gateway.Name, s.gateway.Transport),
			Fix:     "remove the annotation, or ask the platform team for a gateway with transport MutualTLS",
		})
	}
	return refusals
}

// exports refuses what clients of another egress gateway would see, and leave by the wrong one.
func exports(s *subject, exportTo []string) (out hop.Refusals) {
	if len(s.Mesh.Gateways) < 2 {
		return nil
	}
	if len(exportTo) == 0 && s.leads() {
		out = append(out, egress.Finding{
			Code: "other-gateway", Field: "spec.exportTo",
			Message: "there are several egress gateways, and exportTo is left out: namespaces that leave by another would leave by this one",
			Fix:     `set exportTo: ["."], or name the namespaces that leave by this gateway`,
		})
	}
	for i, namespace := range exportTo {
		at := field.NewPath("spec", "exportTo").Index(i).String()
		switch leaves := s.View.GatewayOf(namespace); {
		case namespace == "*":
			out = append(out, egress.Finding{
				Code: "other-gateway", Field: at,
				Message: "there are several egress gateways, and namespaces that leave by another would leave by this one",
				Fix:     fmt.Sprintf("name the namespaces that leave by egress gateway %q, or leave exportTo out for your own", s.gateway.Name),
			})
		case leaves != "" && leaves != s.gateway.Name:
			out = append(out, egress.Finding{
				Code: "other-gateway", Field: at,
				Message: fmt.Sprintf("namespace %q leaves by egress gateway %q, and would leave by %q", namespace, leaves, s.gateway.Name),
				Fix:     "remove the namespace, and write what it needs in it",
			})
		}
	}
	return out
}
