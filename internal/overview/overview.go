// Package overview says who leaves a mesh where: which namespaces, by which egress gateway, to which hosts, by which entries and
// under which policies. It takes objects and what was found wrong with them, and returns rows and a picture.
package overview

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Overview is what a cluster has stored of egress, at a moment.
type Overview struct {
	Gateways   []Gateway   `json:"gateways"`
	Namespaces []Namespace `json:"namespaces"`
	Exits      []Exit      `json:"exits"`
	Policies   []Policy    `json:"policies"`
	Findings   []Finding   `json:"findings"`
}

// Gateway is an egress gateway.
type Gateway struct {
	Name      string `json:"name"`
	Service   string `json:"service"`
	Transport string `json:"transport"`
	// Problems are why it cannot carry calls.
	Problems []string `json:"problems,omitempty"`
}

// Namespace is one that has entries or leaves by a gateway.
type Namespace struct {
	Name string `json:"name"`
	// Gateway is the one that it leaves by, empty for one that is not governed or has none.
	Gateway string `json:"gateway,omitempty"`
	Ambient bool   `json:"ambient,omitempty"`
}

// How calls to the hosts of an entry go.
const (
	ByGateway = "Gateway"
	InMesh    = "Mesh"
	Straight  = "Straight"
)

// Exit is a host as one entry has it.
type Exit struct {
	Host      string   `json:"host"`
	Ports     []Port   `json:"ports"`
	Namespace string   `json:"namespace"`
	Entry     string   `json:"entry"`
	Ends      string   `json:"ends"`
	Gateway   string   `json:"gateway,omitempty"`
	Transport string   `json:"transport,omitempty"`
	Clients   []string `json:"clients,omitempty"`
	// Everybody says that every namespace sees it.
	Everybody bool `json:"everybody,omitempty"`
	// Accounts are the service accounts that it is narrowed to, as namespace/name.
	Accounts []string `json:"serviceAccounts,omitempty"`
	// Ready is the status of its condition ExitReady, Why its reason and message.
	Ready string `json:"ready,omitempty"`
	Why   string `json:"why,omitempty"`
	// Suspended says that it opens nothing, by the word of a policy.
	Suspended bool `json:"suspended,omitempty"`
	// Policies are those that were asked about the entry, Findings how many things some found wrong with it.
	Policies []string `json:"policies,omitempty"`
	Findings int      `json:"findings,omitempty"`
}

// Port is a port of a host.
type Port struct {
	Number   uint32 `json:"number"`
	Protocol string `json:"protocol"`
}

// Policy is an EgressPolicy in force.
type Policy struct {
	Name        string `json:"name"`
	Enforcement string `json:"enforcement"`
	Library     string `json:"library,omitempty"`
	Findings    int    `json:"findings,omitempty"`
}

// Finding is something that is wrong with a stored object.
type Finding struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Effect    string `json:"effect"`
	Policy    string `json:"policy,omitempty"`
	Code      string `json:"code,omitempty"`
	Field     string `json:"field,omitempty"`
	Message   string `json:"message"`
	Fix       string `json:"fix,omitempty"`
}

// Judged is what was found of a cluster's objects.
type Judged struct {
	Policies []Policy
	Findings []Finding
	// Asked are the policies that were asked about an entry, by namespace/name.
	Asked map[string][]string
}

// New returns the overview of stored objects. The error is that of an object that is not of its kind.
func New(mesh *egress.Mesh, objects []*unstructured.Unstructured, judged Judged) (*Overview, error) {
	view := registry.New(mesh)
	for _, object := range objects {
		if err := view.Put(object); err != nil {
			return nil, err
		}
	}
	out := &Overview{Gateways: []Gateway{}, Namespaces: []Namespace{}, Exits: []Exit{}, Policies: append([]Policy{}, judged.Policies...), Findings: append([]Finding{}, judged.Findings...)}
	for _, gw := range mesh.Gateways {
		one := Gateway{Name: gw.Name, Service: gw.Service, Transport: string(gw.Transport)}
		for _, problem := range view.Problems(gw) {
			one.Problems = append(one.Problems, problem.Message)
		}
		out.Gateways = append(out.Gateways, one)
	}
	labels := map[string]map[string]string{}
	for _, object := range objects {
		switch {
		case object.GetKind() == "Namespace":
			labels[object.GetName()] = object.GetLabels()
		case object.GetKind() == "ServiceEntry":
			out.addEntry(view, object, judged)
		}
	}
	for name := range labels {
		if gateway := view.GatewayOf(name); gateway != "" || slices.ContainsFunc(out.Exits, func(exit Exit) bool { return exit.Namespace == name }) {
			out.Namespaces = append(out.Namespaces, Namespace{Name: name, Gateway: gateway, Ambient: egress.Ambient(labels[name])})
		}
	}
	out.sort()
	return out, nil
}

func (o *Overview) sort() {
	slices.SortFunc(o.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(o.Exits, func(a, b Exit) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Entry, b.Entry))
	})
	for i := range o.Policies {
		for _, finding := range o.Findings {
			if finding.Policy == o.Policies[i].Name {
				o.Policies[i].Findings++
			}
		}
	}
	slices.SortFunc(o.Policies, func(a, b Policy) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(o.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
}

func (o *Overview) addEntry(view *registry.Registry, object *unstructured.Unstructured, judged Judged) {
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	entry := view.Named(name.Namespace, name.Name)
	if entry == nil {
		return
	}
	if stored := view.Stored(name); stored != nil && stored.Entry != nil {
		// With the gateway that routes lead its calls to, if that is how they go.
		entry = stored.Entry
	}
	out := Exit{Namespace: name.Namespace, Entry: name.Name, Gateway: entry.Gateway, Ends: Straight, Policies: judged.Asked[name.String()]}
	switch {
	case entry.Gateway != "":
		out.Ends, out.Transport = ByGateway, string(entry.Transport)
	case !entry.External:
		out.Ends = InMesh
	}
	for _, port := range entry.Ports {
		out.Ports = append(out.Ports, Port{port.Number, port.Protocol})
	}
	out.Clients, out.Everybody = egress.Clients(entry.ExportTo, entry.Namespace)
	for namespace, accounts := range entry.Accounts {
		for _, account := range accounts {
			out.Accounts = append(out.Accounts, namespace+"/"+account)
		}
	}
	slices.Sort(out.Accounts)
	if told := registry.ToldOf(object); told != nil {
		out.Ready, out.Why = told.Status, told.Reason+": "+told.Message
	}
	if why, is := view.Suspended(name); is {
		out.Suspended, out.Why = true, why
	}
	for _, finding := range judged.Findings {
		if finding.Kind == "ServiceEntry" && finding.Namespace == name.Namespace && finding.Name == name.Name {
			out.Findings++
		}
	}
	for _, host := range entry.Hosts {
		next := out
		next.Host = host
		o.Exits = append(o.Exits, next)
	}
}
