package egress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Location MESH_INTERNAL is a claim that takes a host past the gateway and past every policy about what leaves, so it is
// believed only where it is shown.

// Internal returns what is not shown of an entry that says it is the mesh's own; nothing when it provably is: its
// resolution is STATIC and it selects workloads, or each of its endpoints is a Service of the cluster or lies in a
// range that the operator declared.
func (m *Mesh) Internal(entry *ServiceEntry, view View) (out []Finding) {
	unproven := func(path *field.Path, message, fix string) {
		out = append(out, Finding{
			Code: "not-internal", Field: path.String(), Fix: fix,
			Message: message + ", so nothing shows that the hosts are in the mesh, as location MESH_INTERNAL says",
		})
	}
	spec := field.NewPath("spec")
	labels, _ := entry.WorkloadSelector["labels"].(map[string]any)
	selects := "set resolution STATIC and a workloadSelector of the workloads that serve them"
	if m.mayLeave(entry) {
		selects = "set location MESH_EXTERNAL if the hosts are outside the mesh, or resolution STATIC and a workloadSelector of the workloads that serve them"
	}
	switch {
	case len(entry.WorkloadSelector) > 0 && entry.Resolution != "STATIC":
		unproven(spec.Child("resolution"), "workloads are selected, and the resolution is not STATIC", "set resolution STATIC")
	case !slices.Contains([]string{"STATIC", "DNS", "DNS_ROUND_ROBIN"}, entry.Resolution):
		unproven(spec.Child("resolution"), "resolution is "+cmp.Or(entry.Resolution, "NONE"), selects)
	case len(labels) == 0 && len(entry.Endpoints) == 0:
		unproven(spec.Child("endpoints"), "there are no endpoints", selects)
	}
	for i, endpoint := range entry.Endpoints {
		if !m.within(endpoint.Address, view) {
			unproven(spec.Child("endpoints").Index(i).Child("address"),
				fmt.Sprintf("address %q is no Service of the cluster, nor in a range of the mesh", endpoint.Address), m.internalFix(entry, endpoint.Address, view))
		}
	}
	return out
}

// mayLeave says whether all hosts of an entry may be outside the mesh.
func (m *Mesh) mayLeave(entry *ServiceEntry) bool {
	return !slices.ContainsFunc(entry.Hosts, func(host string) bool { return m.Deputy(host) != "" })
}

// internalFix says what has an endpoint be the mesh's own, or else the hosts outside it, where they may be. These have no endpoint under the
// cluster's domain, and none that no gateway may call.
func (m *Mesh) internalFix(entry *ServiceEntry, written string, view View) string {
	const outside, byName = "set location MESH_EXTERNAL", "the whole name of a Service, such as name.namespace.svc."
	const declare = "ask the platform team to declare the range of the endpoints (meshCIDRs)"
	_, isGateway := m.GatewayByService(written)
	service, dns := m.ServiceOf(written, view), ""
	if entry.Resolution == "STATIC" {
		dns = ", and set resolution DNS, since STATIC takes no names"
	}
	name, form := m.serviceName(written)
	switch _, err := netip.ParseAddr(written); {
	case isGateway:
	case service != "" && view.Service(service).ExternalName:
		alias := view.Service(service).Alias
		switch {
		case m.InMesh(alias, view):
			return fmt.Sprintf("give %q, of which it is another name%s", alias, dns)
		case m.mayLeave(entry):
			return fmt.Sprintf("%s, and give %q, of which it is another name%s", outside, alias, dns)
		}
	case service != "":
		return fmt.Sprintf("write %q%s", service, dns)
	case form:
		return fmt.Sprintf("apply the Service first, and write %q%s", name, dns)
	case m.Deputy(written) != "" || written == "" || strings.HasPrefix(written, "unix:"):
	case err == nil && m.mayLeave(entry):
		return outside + ", or " + declare
	case err == nil:
		return declare
	case !m.mayLeave(entry):
		return "give " + byName + m.ClusterDomain + dns
	default:
		return outside + dns + "; or give " + byName + m.ClusterDomain
	}
	return "give " + byName + m.ClusterDomain + ", or in place of endpoints a workloadSelector, with resolution STATIC"
}

// serviceName returns the FQDN of a name of the form name.namespace.svc, whole or without the cluster's domain.
func (m *Mesh) serviceName(written string) (string, bool) {
	short := strings.TrimSuffix(Canonical(written), "."+m.ClusterDomain)
	parts := strings.Split(short, ".")
	return short + "." + m.ClusterDomain, len(parts) == 3 && parts[2] == "svc"
}

// Declares says whether an address, or all of a range, lies in a range of the mesh beside its pods.
func (m *Mesh) Declares(written string) bool {
	inner, err := RangeOf(written)
	return err == nil && slices.ContainsFunc(m.CIDRs, func(outer netip.Prefix) bool {
		return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
	})
}

// RangeOf reads a range, or an address as that of a single one.
func RangeOf(text string) (netip.Prefix, error) {
	if ip, single := SingleIP(text); single {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func (m *Mesh) within(address string, view View) bool {
	if ip, err := netip.ParseAddr(address); err == nil {
		return deputyAddress(ip) == "" && slices.ContainsFunc(m.CIDRs, func(cidr netip.Prefix) bool { return cidr.Contains(ip.Unmap()) })
	}
	_, isGateway := m.GatewayByService(address)
	service := view.Service(Canonical(address))
	return !isGateway && service != nil && !service.ExternalName
}

// aliased returns the host outside the mesh of which a Service is another name; empty for none.
func (m *Mesh) aliased(host string, view View) string {
	for range 8 { // as many as anybody chains
		service := view.Service(host)
		if service == nil || !service.ExternalName {
			return ""
		}
		if host = service.Alias; !m.InMesh(host, view) {
			return host
		}
	}
	return ""
}

// InMesh says whether a host is the mesh's own: under the cluster domain, or a Service's in any form.
func (m *Mesh) InMesh(host string, view View) bool {
	return m.InCluster(host) || m.service(Canonical(host), view) != ""
}

// ServiceOf returns the FQDN of the Service that a pod's search path may make of a host, or of one of whose pods it makes it:
// name.namespace, name.namespace.svc or the FQDN itself, and each of them below a pod's name; empty for none.
func (m *Mesh) ServiceOf(host string, view View) string {
	host = Canonical(host)
	if service := m.service(host, view); service != "" {
		return service
	}
	_, ofPod, _ := strings.Cut(host, ".")
	return m.service(ofPod, view)
}

// Naming is what a host is that ServiceOf found a Service for.
func Naming(host, service string) string {
	if strings.HasPrefix(service+".", Canonical(host)+".") {
		return "Service " + service
	}
	return "a pod of Service " + service
}

// service returns the FQDN of the Service that a canonical host is, in any form; empty for none.
func (m *Mesh) service(host string, view View) string {
	forms := []string{host}
	switch parts := strings.Split(host, "."); {
	case len(parts) == 2:
		forms = append(forms, host+".svc."+m.ClusterDomain)
	case len(parts) == 3 && parts[2] == "svc":
		forms = append(forms, host+"."+m.ClusterDomain)
	}
	for _, form := range forms {
		if view.Service(form) != nil {
			return form
		}
	}
	return ""
}
