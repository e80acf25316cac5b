package hop

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// ExitSet returns the exit leg of one canonical host in the namespace of egress gateways, in the order of writing:
// where the host really is, as its entries define it, how it is called, as their rules have it, and the routes to it
// from each gateway that some of them is sealed to; where it is a wildcard that no endpoint serves, what makes the gateway
// resolve the names below, if it does; and its passages. All of it is private to the namespace. Without an exit, which is
// nil, it is empty, and so it is while all entries are suspended.
func ExitSet(mesh *egress.Mesh, exit *egress.Exit, view egress.View, namespace, host string) []Object {
	if exit == nil || len(exit.Open().Ports) == 0 {
		return nil
	}
	gateways := servingGateways(mesh, exit, namespace)
	if exit.Bare(host) {
		if gateways = slices.DeleteFunc(gateways, func(gw egress.Gateway) bool { return !gw.Wildcards }); len(gateways) == 0 {
			return nil
		}
	}
	out := []Object{exitEntry(namespace, host, exit)}
	if rule := exitRule(namespace, host, exit); rule != nil {
		out = append(out, rule)
	}
	for _, gw := range gateways {
		served := servedBy(mesh, exit, view, gw, host)
		if exit.Bare(host) {
			out = append(out, resolver(mesh, gw, served))
		}
		out = append(out, transportOf(gw).routes(gw, served)...)
	}
	return append(out, Passages(mesh, exit, view, namespace, host, exit.Passes)...)
}

// servingGateways returns the gateways of a namespace by which calls come to an exit, with the transports they come by.
func servingGateways(mesh *egress.Mesh, exit *egress.Exit, namespace string) (out []egress.Gateway) {
	for _, gw := range mesh.GatewaysIn(namespace) {
		for _, transport := range egress.Transports() {
			if gw = gw.By(transport); exit.Serves(gw.Leg()) {
				out = append(out, gw)
			}
		}
	}
	return out
}

func servedBy(mesh *egress.Mesh, exit *egress.Exit, view egress.View, gw egress.Gateway, host string) served {
	owner := exit.Owner().Namespace + "/" + exit.Owner().Name
	governed := func(namespace string) bool { return view.GatewayOf(namespace) != "" }
	return served{host: host, definition: exit.By(gw.Leg()), owner: owner, callers: func(port uint32) callers {
		return callers{exit.Grants(port, gw.Leg(), governed), mesh, view}
	}, byHost: func(port uint32) callers {
		out := exit.Grants(port, gw.Leg(), governed)
		for _, wildcard := range egress.Patterns(host)[1:] {
			out.Add(view.Exit(wildcard, gw.Namespace()).Grants(port, gw.Leg(), governed))
		}
		return callers{out, mesh, view}
	}, certified: func(port uint32) callers {
		return callers{exit.GrantsByCertificate(port, gw.Leg(), governed), mesh, view}
	}}
}

// ExitKinds returns an empty object of every kind that an exit set may hold, in the order of writing.
func ExitKinds() []Object {
	filter := &unstructured.Unstructured{}
	filter.SetGroupVersionKind(EnvoyFilter)
	return []Object{&networkingv1.ServiceEntry{}, &networkingv1.DestinationRule{}, filter, &networkingv1.Gateway{}, &networkingv1.VirtualService{}}
}

// GatewayName returns the name of the Gateway object of an egress gateway with its transport.
func GatewayName(gw egress.Gateway) string {
	if gw.Transport == egress.MutualTLS {
		return "egress-governor-" + gw.Name + "-mutual-tls"
	}
	return "egress-governor-" + gw.Name
}

// GatewayObject returns the Gateway that opens the gateway's ports to the VirtualServices of its own namespace, and
// to no other's: a host without an exit gets 404 or a reset. For another transport than the gateway's own it has what can
// be open beside that. It is nil for nothing.
func GatewayObject(gw egress.Gateway, transport egress.Transport) *networkingv1.Gateway {
	by := gw.By(transport)
	out := &networkingv1.Gateway{ObjectMeta: meta(gw.Namespace(), GatewayName(by), "")}
	out.Labels[GatewayLabel] = gw.Name
	out.Spec.Selector = gw.Selector
	for _, server := range transportOf(by).servers(by) {
		if transport == gw.Transport || !slices.ContainsFunc(transportOf(gw).servers(gw), func(own *networking.Server) bool {
			return own.Port.Number == server.Port.Number
		}) {
			out.Spec.Servers = append(out.Spec.Servers, server)
		}
	}
	if len(out.Spec.Servers) == 0 {
		return nil
	}
	return out
}

// exitEntry says where a host really is, for whoever asks DNS: names are absolute. Gateways of one namespace share it.
func exitEntry(namespace, host string, exit *egress.Exit) *networkingv1.ServiceEntry {
	definition := exit.Open()
	out := &networkingv1.ServiceEntry{ObjectMeta: meta(namespace, exitName(host, host), host)}
	out.Spec.Hosts = []string{host}
	out.Spec.ExportTo = []string{"."}
	out.Spec.Location = networking.ServiceEntry_MESH_EXTERNAL
	out.Spec.Resolution = networking.ServiceEntry_Resolution(networking.ServiceEntry_Resolution_value[definition.Resolution])
	for _, port := range definition.Ports {
		out.Spec.Ports = append(out.Spec.Ports, &networking.ServicePort{
			Number: port.Number, Protocol: exit.Spelled(port.Number), Name: port.Name, TargetPort: port.TargetPort,
		})
	}
	switch {
	case egress.Bare(host, definition.Endpoints):
		out.Spec.Resolution = networking.ServiceEntry_DNS
		out.Spec.Endpoints = []*networking.WorkloadEntry{{Address: unresolved}}
	case len(definition.Endpoints) == 0:
		out.Spec.Endpoints = []*networking.WorkloadEntry{{Address: absolute(host)}}
	}
	weighted := len(CheckWeights(definition.Endpoints)) == 0
	for _, endpoint := range definition.Endpoints {
		if !weighted {
			// The entry was stored before such were refused.
			endpoint.Weight = 0
		}
		out.Spec.Endpoints = append(out.Spec.Endpoints, &networking.WorkloadEntry{
			Address: absolute(endpoint.Address), Ports: endpoint.Ports, Labels: untunnelled(endpoint.Labels), Network: endpoint.Network,
			Locality: endpoint.Locality, Weight: endpoint.Weight, ServiceAccount: endpoint.ServiceAccount,
		})
	}
	return out
}

// absolute is a name under which DNS has the one host that is meant. To any other a gateway's pod adds the search domains of the cluster
// first, by which Service foo of a namespace dev is foo.dev.
func absolute(address string) string {
	if egress.IsIP(address) {
		return address
	}
	return egress.Canonical(address) + "."
}

// routesName returns the name of a gateway's routes to a host.
func routesName(gw egress.Gateway, host string) string {
	if gw.Transport == egress.MutualTLS {
		return exitName(host, gw.Name+"/mutual-tls/"+host)
	}
	return exitName(host, gw.Name+"/"+host)
}

const (
	// hashBytes make names that nobody finds two of.
	hashBytes = 16
	// maxNamePrefix leaves room for a hyphen and the hash within a DNS label of 63 characters.
	maxNamePrefix = 63 - 1 - (hashBytes*8+4)/5
)

// readable replaces what a host has and a name may not have.
var readable = strings.NewReplacer("*", "wildcard", ".", "-")

// exitName returns a name that is readable by the host and unique by a hash of the key.
func exitName(host, key string) string {
	prefix := readable.Replace(host)
	if len(prefix) > maxNamePrefix {
		prefix = prefix[:maxNamePrefix]
	}
	sum := sha256.Sum256([]byte(key))
	hash := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:hashBytes])
	return strings.TrimRight(prefix, "-") + "-" + strings.ToLower(hash)
}

func meta(namespace, name, host string) metav1.ObjectMeta {
	out := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{ManagedByLabel: Manager}}
	if host != "" {
		out.Annotations = map[string]string{HostAnnotation: host}
	}
	return out
}

// untyped is an object of ours of one of Istio's kinds whose spec is not typed.
func untyped(kind string, of metav1.ObjectMeta, spec map[string]any) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	out.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind(kind))
	out.SetNamespace(of.Namespace)
	out.SetName(of.Name)
	out.SetLabels(of.Labels)
	out.SetAnnotations(of.Annotations)
	return out
}
