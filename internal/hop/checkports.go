package hop

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// A sealed entry repeats the names of its ports beside its endpoint, where Istio takes fewer of them, and of fewer kinds: what the API
// server would say of that is of a field that nobody wrote.
const (
	maxPorts    = 128
	maxPortName = 62
)

var portName = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`)

func checkPorts(entry *egress.ServiceEntry, gw egress.Gateway, _ *egress.Mesh) (out Refusals) {
	path := field.NewPath("spec", "ports")
	switch {
	case len(entry.Ports) == 0:
		out.add("no-ports", path, "names no port", "name each port with its protocol")
	case len(entry.Ports) > maxPorts:
		out.add("bad-port", path, fmt.Sprintf("%d ports are more than the %d that an endpoint may have", len(entry.Ports), maxPorts),
			"remove those that are not called, or write the rest into another ServiceEntry of the host")
	}
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i, port := range entry.Ports {
		at := path.Index(i)
		refusePortName(&out, port, at.Child("name"), names)
		if numbers[port.Number] {
			out.add("bad-port", at.Child("number"), fmt.Sprintf("port %d is there twice", port.Number), "write each number once")
		}
		names[port.Name], numbers[port.Number] = true, true
		refuseIstioPorts(&out, port, at)
	}
	return append(append(out, transportOf(gw).check(entry, gw)...), checkWildcardPorts(entry, gw)...)
}

// refusePortName refuses a name that is not there, that another port has, or that no endpoint takes.
func refusePortName(out *Refusals, port egress.Port, at *field.Path, taken map[string]bool) {
	such := strings.ToLower(fmt.Sprintf("%s-%d", cmp.Or(egress.FamilyOf(port.Protocol), "port"), port.Number))
	switch {
	case port.Name == "":
		out.add("bad-port", at, fmt.Sprintf("port %d has no name", port.Number), "give it one of its own, such as "+such)
	case taken[port.Name]:
		out.add("bad-port", at, fmt.Sprintf("name %q is another port's already", port.Name), fmt.Sprintf("give port %d a name of its own, such as %s", port.Number, such))
	case len(port.Name) > maxPortName || !portName.MatchString(port.Name):
		out.add("bad-port", at, fmt.Sprintf("name %q of port %d is not made of at most %d letters, digits and hyphens within", port.Name, port.Number, maxPortName),
			"give it another, such as "+such)
	}
}

// refuseIstioPorts refuses a port that a gateway is not to call, and one at which sidecars listen themselves: for calls to it they
// would have no listener, or one for whose sake Envoy rejects their own.
func refuseIstioPorts(out *Refusals, port egress.Port, path *field.Path) {
	switch {
	case egress.IsIstioPort(port.TargetPort):
		refuseIstioPort(out, path.Child("targetPort"), port.TargetPort)
	case port.TargetPort == 0 && egress.IsIstioPort(port.Number):
		refuseIstioPort(out, path.Child("number"), port.Number)
	default:
		refuseListener(out, path.Child("number"), port.Number)
	}
}

func refuseListener(out *Refusals, path *field.Path, port uint32) {
	if egress.IsListener(port) {
		out.add("istio-port", path, fmt.Sprintf("port %d is one at which sidecars listen themselves, so they could not await calls to it", port),
			"give it another number, which the app then calls, and the port of the host as targetPort")
	}
}

func refuseIstioPort(out *Refusals, path *field.Path, port uint32) {
	out.add("istio-port", path, fmt.Sprintf("port %d is one of 15000 to 15090, which proxies keep for their own administration", port),
		"give the port of the external host")
}

// refuseProtocol refuses what no transport carries. Istio knows few protocols by name; all others on TCP are TCP to it.
func refuseProtocol(out *Refusals, path *field.Path, port egress.Port, fix string) {
	if strings.EqualFold(port.Protocol, "UDP") {
		fix = "remove the port; Istio does not route UDP"
	}
	what := fmt.Sprintf("protocol %q of port %d cannot be carried by an egress gateway", port.Protocol, port.Number)
	if port.Protocol == "" {
		what = fmt.Sprintf("port %d names no protocol, and an egress gateway carries what it knows", port.Number)
	}
	out.add("raw-protocol", path.Child("protocol"), what, fix)
}

// entryEach has sidecars tell raw TCP of several hosts apart.
const entryEach = "write a ServiceEntry for each host; without DNS capture, on ports of different numbers"

// protocolFix says how a port is carried whose protocol names no host, or is none: what each kind of connection takes, to the end.
func protocolFix(entry *egress.ServiceEntry, gw egress.Gateway, port egress.Port) string {
	declare := "declare TLS if the connection starts with TLS, HTTP, HTTP2 or GRPC if it is plain HTTP"
	bare := entry.Bare()
	unresolved := slices.ContainsFunc(bare, func(host string) bool { return !gw.Wildcards || egress.Wide(egress.Canonical(host)) != "" })
	var raw []string
	if len(bare) > 0 && !unresolved {
		raw = append(raw, "name the hosts one by one")
	}
	if gw.Transport != egress.MutualTLS {
		raw = append(raw, "ask the platform team for an egress gateway with transport MutualTLS")
	}
	if egress.FamilyOf(port.Protocol) == egress.FamilyNone {
		raw = append(raw, "declare TCP")
	}
	if unresolved {
		declare = "name the hosts one by one, and " + declare
	}
	if len(bare) > 0 || len(entry.Hosts) > 1 {
		raw = append(raw, entryEach)
	}
	return declare + "; for any other, " + strings.Join(raw, ", and ")
}
