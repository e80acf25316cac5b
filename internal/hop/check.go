package hop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func checkHosts(entry *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) (out Refusals) {
	path := field.NewPath("spec", "hosts")
	if len(entry.Hosts) == 0 {
		out.add("no-hosts", path, "names no host", "name the external host")
	}
	seen := map[string]bool{}
	for i, host := range entry.Hosts {
		canonical := egress.Canonical(host)
		at := path.Index(i)
		switch {
		case checkName(&out, host, at, mesh):
		case mesh.Deputy(canonical) != "":
			out.add("deputy-host", at, fmt.Sprintf("host %q %s", host, mesh.Deputy(canonical)),
				deputyFix(canonical, mesh, "name the external host; what is no external host does not go through a gateway"))
		case egress.IsIP(canonical):
			out.add("ip-host", at, fmt.Sprintf("host %q is an IP address", host),
				"name a DNS host, put the address into spec.endpoints with resolution STATIC, and have apps call the host: calls for the address itself are none of the entry's; "+
					"they fail, or leave directly where unregistered hosts are let through")
		case egress.Bare(canonical, entry.Endpoints) && refuseWildcard(&out, host, at, gw):
		case seen[canonical]:
			out.add("duplicate-host", at, fmt.Sprintf("host %q is named twice", host), "name it once")
		}
		seen[canonical] = true
	}
	return out
}

// checkName refuses a host that no entry may name, outside the mesh or in it, and says whether it did.
func checkName(out *Refusals, host string, at *field.Path, mesh *egress.Mesh) bool {
	canonical := egress.Canonical(host)
	_, isGateway := mesh.GatewayByService(canonical)
	switch {
	case egress.IsReserved(canonical):
		out.add("reserved-host", at, fmt.Sprintf("host %q is under %s, whose names egress-governor gives", host, egress.ReservedSuffix), "name another host")
	case isGateway:
		out.add("gateway-host", at, fmt.Sprintf("host %q is the egress gateway itself", host), "name the external host")
	case canonical == "*":
		out.add("short-host", at, `host "*" is every name, those of Services among them`,
			"name the hosts, or a wildcard of one domain such as *.example.com")
	case !strings.Contains(canonical, ".") && !strings.Contains(canonical, ":") && mesh.Deputy(canonical) == "":
		out.add("short-host", at, fmt.Sprintf("host %q has no dot: workloads of every namespace call their Services by such names", host),
			"write the whole name of the host, such as api.example.com")
	case !egress.IsIP(canonical) && len(validation.IsDNS1123Subdomain(strings.TrimPrefix(canonical, "*."))) > 0:
		out.add("bad-host", at, fmt.Sprintf("host %q is not a DNS name, nor a wildcard of whole labels", host),
			"write "+hostFix(canonical))
	default:
		return false
	}
	return true
}

// hostFix is the host that is meant by one with a scheme, a port or a path, or examples of hosts.
func hostFix(host string) string {
	_, rest, isURL := strings.Cut(host, "://")
	if !isURL {
		rest = host
	}
	name, _, _ := strings.Cut(rest, "/")
	name, _, _ = strings.Cut(name, ":")
	if name != host && strings.Contains(name, ".") && !egress.IsIP(name) && len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) == 0 {
		return name + ": a host has no scheme, no port and no path"
	}
	return "a host such as api.example.com or *.example.com"
}

// CheckSpelling refuses hosts that would be stored in another spelling than the one: Envoy rejects a listener that knows
// a host in two.
func CheckSpelling(hosts []string) (out Refusals) {
	for i, host := range hosts {
		refuseSpelling(&out, host, field.NewPath("spec", "hosts").Index(i))
	}
	return out
}

func refuseSpelling(out *Refusals, host string, at *field.Path) {
	if canonical := egress.Canonical(host); canonical != host {
		out.add("not-canonical", at, fmt.Sprintf("host %q is not in canonical spelling", host), fmt.Sprintf("write %q", canonical))
	}
}

// CheckInternal returns what is wrong with a ServiceEntry that says it is the mesh's own.
func CheckInternal(entry *egress.ServiceEntry, mesh *egress.Mesh, view egress.View) (out Refusals) {
	for i, host := range entry.Hosts {
		checkName(&out, host, field.NewPath("spec", "hosts").Index(i), mesh)
	}
	for i, port := range entry.Ports {
		refuseListener(&out, field.NewPath("spec", "ports").Index(i).Child("number"), port.Number)
	}
	out = append(out, CheckSpelling(entry.Hosts)...)
	return append(out, mesh.Internal(entry, view)...)
}

func checkResolution(entry *egress.ServiceEntry, gw egress.Gateway, _ *egress.Mesh) (out Refusals) {
	path := field.NewPath("spec", "resolution")
	if len(entry.WorkloadSelector) > 0 {
		out.add("workload-selector", field.NewPath("spec", "workloadSelector"), "selects workloads of the mesh for a host outside it",
			withoutSelector(entry)+"; or set location MESH_INTERNAL if the host is in the mesh")
	}
	switch entry.Resolution {
	case "", "NONE":
		if len(entry.Endpoints) > 0 {
			out.add("endpoints-without-resolution", path, "resolution NONE takes no endpoints", "set resolution STATIC for addresses, DNS for host names")
		}
		if len(entry.Addresses) > 0 && len(entry.Endpoints) == 0 && !slices.ContainsFunc(entry.Addresses, isRange) {
			out.add("addresses-without-resolution", path, "resolution NONE leads calls to that of the addresses that the client dialled, which the egress gateway is not told",
				"set resolution STATIC and put the addresses into spec.endpoints, or DNS if the host's name resolves")
		}
	case "STATIC":
		if len(entry.Endpoints) == 0 {
			out.add("static-without-endpoints", path, "resolution STATIC needs endpoints", "give spec.endpoints, or set resolution DNS")
		}
	case "DNS":
	case "DNS_ROUND_ROBIN":
		if len(entry.Endpoints) > 1 {
			out.add("round-robin-endpoints", path, "resolution DNS_ROUND_ROBIN takes one endpoint", "set resolution DNS")
		}
	case "DYNAMIC_DNS":
		checkDynamic(&out, entry, gw, path)
	default:
		out.add("resolution", path, fmt.Sprintf("resolution %s cannot be done by an egress gateway", entry.Resolution), "set resolution DNS and name the hosts")
	}
	for i, address := range entry.Addresses {
		if isRange(address) {
			out.add("cidr-address", field.NewPath("spec", "addresses").Index(i),
				fmt.Sprintf("range %s lets the client choose the address, which the egress gateway is not told: it needs the host, or its addresses one by one", address),
				"remove the range and set resolution DNS, or STATIC with the server's addresses in spec.endpoints")
		}
	}
	return out
}

// withoutSelector says how an entry does without one: under resolution STATIC its workloads were its endpoints.
func withoutSelector(entry *egress.ServiceEntry) string {
	if entry.Resolution == "STATIC" && len(entry.Endpoints) == 0 {
		return "remove it, and set resolution DNS or give spec.endpoints"
	}
	return "remove it"
}

// deputyFix names the way to a metadata server that gives workloads an identity of their own.
func deputyFix(place string, mesh *egress.Mesh, otherwise string) string {
	if !strings.Contains(mesh.Deputy(place), "metadata") {
		return otherwise
	}
	return "ask the platform team to leave its address out of interception for the whole mesh (global.proxy.excludeIPRanges of Istio), since it answers each workload for itself alone"
}

func isRange(address string) bool {
	cidr, err := netip.ParsePrefix(address)
	return strings.Contains(address, "/") && (err != nil || !cidr.IsSingleIP())
}

func checkEndpoints(entry *egress.ServiceEntry, _ egress.Gateway, mesh *egress.Mesh) (out Refusals) {
	declared := map[string]bool{}
	for _, port := range entry.Ports {
		declared[port.Name] = true
	}
	for i, endpoint := range entry.Endpoints {
		path := field.NewPath("spec", "endpoints").Index(i)
		out = append(out, checkAddress(endpoint.Address, entry.Resolution, entry.EndpointPath(i), mesh)...)
		for _, name := range sortedKeys(endpoint.Ports) {
			if egress.IsIstioPort(endpoint.Ports[name]) {
				refuseIstioPort(&out, path.Child("ports").Key(name), endpoint.Ports[name])
			}
			if !declared[name] {
				out.add("endpoint-port", path.Child("ports"), fmt.Sprintf("port %q is not among spec.ports", name), "use the names of spec.ports")
			}
		}
	}
	return out
}

// CheckCluster refuses endpoints in the cluster, as clusterCIDRs has it. Check does not: that would take an exit away from whoever has one.
func CheckCluster(entry *egress.ServiceEntry, mesh *egress.Mesh) (out Refusals) {
	for i, endpoint := range entry.Endpoints {
		if reason := mesh.InClusterCIDRs(endpoint.Address); reason != "" {
			out.add("deputy-endpoint", entry.EndpointPath(i), fmt.Sprintf("address %q %s", endpoint.Address, reason), "give the address of the external host, or none")
		}
	}
	return out
}

func checkAddress(address, resolution string, path *field.Path, mesh *egress.Mesh) (out Refusals) {
	_, isGateway := mesh.GatewayByService(address)
	_, ipErr := netip.ParseAddr(address)
	switch {
	case isGateway:
		out.add("gateway-endpoint", path, fmt.Sprintf("address %q is the egress gateway, which would call itself", address),
			"give the address of the external host, or none")
	case strings.HasPrefix(address, "unix:"):
		out.add("unix-endpoint", path, "a socket of the client's host cannot be reached from the gateway", "give an IP address or a host name")
	case mesh.Deputy(address) != "":
		out.add("deputy-endpoint", path, fmt.Sprintf("address %q %s", address, mesh.Deputy(address)),
			deputyFix(address, mesh, "give the address of the external host, or none"))
	case ipErr != nil && !strings.Contains(egress.Canonical(address), "."):
		out.add("short-endpoint", path, fmt.Sprintf("address %q without a dot is a Service of the gateway's own namespace", address),
			"give the whole name of the external host")
	case resolution == "STATIC" && ipErr != nil:
		out.add("static-endpoint", path, fmt.Sprintf("address %q is not an IP address, which resolution STATIC needs", address),
			"give an IP address, or set resolution DNS")
	case ipErr != nil && len(validation.IsDNS1123Subdomain(egress.Canonical(address))) > 0:
		out.add("bad-endpoint", path, fmt.Sprintf("address %q is neither an IP address nor a host name", address), "give an IP address or a host name")
	}
	return out
}
