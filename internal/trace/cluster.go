package trace

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const (
	istioGroup = "networking.istio.io"
	apiGroup   = "gateway.networking.k8s.io"
)

// Cluster is what calls are led by: stored objects, indexed once. It never changes.
type Cluster struct {
	mesh *egress.Mesh
	view *registry.Registry
	// closed says that sidecars drop calls to hosts that nobody registered, where no Sidecar says otherwise.
	closed bool
	// labels are those of namespaces.
	labels map[string]map[string]string
	// services has what answers to a canonical host, oldest first.
	services map[string][]*service
	routes   []*routes
	// delegates are the routes that others lead to, by namespace/name.
	delegates map[string]*routes
	doors     []*door
	sidecars  []*unstructured.Unstructured
	rules     []*unstructured.Unstructured
	// ready has the conditions of entries by namespace/name.
	ready map[string]*Ready
}

// Settings are what is known of a mesh beside its objects.
type Settings struct {
	// RegistryOnly is Istio's outboundTrafficPolicy, DNSCapture whether sidecars capture DNS.
	RegistryOnly, DNSCapture bool
}

// New indexes stored objects. The error is that of an object that is not of its kind.
func New(mesh *egress.Mesh, settings Settings, objects []*unstructured.Unstructured) (*Cluster, error) {
	out := &Cluster{
		mesh: mesh, view: registry.New(mesh), closed: settings.RegistryOnly, labels: map[string]map[string]string{},
		services: map[string][]*service{}, delegates: map[string]*routes{}, ready: map[string]*Ready{},
	}
	out.view.SetDNSCapture(settings.DNSCapture)
	for _, object := range objects {
		if err := out.view.Put(object); err != nil {
			return nil, err
		}
	}
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, older)
	for _, object := range objects {
		out.add(object)
	}
	return out, nil
}

// older orders objects as Istio does. What was never stored was made last.
func older(a, b *unstructured.Unstructured) int {
	return cmp.Or(age(a).Compare(age(b)), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

func age(of *unstructured.Unstructured) time.Time {
	if at := of.GetCreationTimestamp(); !at.IsZero() {
		return at.Time
	}
	return time.Unix(1<<40, 0)
}

func (c *Cluster) add(object *unstructured.Unstructured) {
	switch object.GroupVersionKind().Group + "/" + object.GetKind() {
	case "/Namespace":
		c.labels[object.GetName()] = object.GetLabels()
	case "/Service":
		c.addService(object)
	case istioGroup + "/ServiceEntry":
		c.addEntry(object)
	case istioGroup + "/VirtualService":
		c.addRoutes(object)
	case istioGroup + "/Gateway":
		c.addDoor(object)
	case istioGroup + "/Sidecar":
		c.sidecars = append(c.sidecars, object)
	case istioGroup + "/DestinationRule":
		c.rules = append(c.rules, object)
	case apiGroup + "/HTTPRoute", apiGroup + "/GRPCRoute", apiGroup + "/TLSRoute", apiGroup + "/TCPRoute":
		c.addAPIRoute(object)
	}
}

// service is what answers to a host: a Service, or a ServiceEntry.
type service struct {
	*egress.Entry
	kind      string
	endpoints []egress.Endpoint
	// workloads says that pods are its endpoints, alias that it is another name of a host.
	workloads bool
	alias     string
}

func (s *service) object() *Object {
	return &Object{Kind: s.kind, Namespace: s.Namespace, Name: s.Name}
}

func (s *service) port(number uint32) (egress.Port, bool) {
	for _, port := range s.Ports {
		if port.Number == number {
			return port, true
		}
	}
	return egress.Port{}, false
}

func (c *Cluster) addService(object *unstructured.Unstructured) {
	host := egress.Canonical(object.GetName() + "." + object.GetNamespace() + ".svc." + c.mesh.ClusterDomain)
	known := c.view.Service(host)
	if known == nil {
		return
	}
	out := &service{kind: "Service", workloads: true, alias: known.Alias, Entry: &egress.Entry{
		Namespace: object.GetNamespace(), Name: object.GetName(), Created: age(object), Hosts: []string{host},
	}}
	out.ExportTo = strings.FieldsFunc(object.GetAnnotations()["networking.istio.io/exportTo"], func(r rune) bool { return r == ',' || r == ' ' })
	for _, port := range known.Ports {
		out.Ports = append(out.Ports, egress.Port{Number: port.Number, Protocol: port.Protocol, TargetPort: port.Target})
	}
	c.services[host] = append(c.services[host], out)
}

func (c *Cluster) addEntry(object *unstructured.Unstructured) {
	parsed, err := egress.ParseServiceEntry(object)
	if err != nil {
		return
	}
	entry := &egress.Entry{
		Namespace: object.GetNamespace(), Name: object.GetName(), Created: age(object), ExportTo: parsed.ExportTo, Labels: object.GetLabels(),
		Resolution: parsed.Resolution, External: parsed.External(), Ports: parsed.Ports, Addresses: parsed.Addresses,
	}
	for _, host := range parsed.Hosts {
		entry.Hosts = append(entry.Hosts, egress.Canonical(host))
	}
	out := &service{kind: "ServiceEntry", Entry: entry, endpoints: parsed.Endpoints, workloads: parsed.WorkloadSelector != nil}
	for _, host := range entry.Hosts {
		c.services[host] = append(c.services[host], out)
	}
	if told := registry.ToldOf(object); told != nil {
		c.ready[entry.Namespace+"/"+entry.Name] = &Ready{told.Status, told.Reason, told.Message, told.Reason == registry.ReasonSuspended}
	}
}
