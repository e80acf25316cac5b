package registry

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// Stored is what is kept of a stored ServiceEntry: all that is asked of it, and not the object itself, of which a
// cluster may have thousands.
type Stored struct {
	Identity
	// Generation is that of what its author wrote.
	Generation int64
	// Sealed says that it leads to an egress gateway, or did to one of another configuration: what its author wrote is kept beside.
	Sealed bool
	// Entry is nil for one that cannot be read, or that is not an author's.
	Entry *egress.Entry
	// given are the addresses that istiod gave its hosts.
	given []netip.Addr
	// conditions are those of its status, everybody's, as JSON; ours alone where they are many.
	conditions string
	// held says that it asks for its exit to stand, whether it is sealed or not.
	held bool
	// ours says that it is of an exit set, and nobody asks for it.
	ours bool
	// carriers are the egress gateways to which routes could lead its calls, or at which its exit is to stand before it is sealed; none
	// where neither is asked for.
	carriers []string
}

var _ runtime.Object = (*Stored)(nil)

// GetObjectKind implements runtime.Object.
func (*Stored) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *Stored) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

// Read returns what is kept of a ServiceEntry.
func (r *Registry) Read(obj *unstructured.Unstructured) *Stored {
	out := &Stored{Identity: identify(obj), ours: r.ours(obj), held: hop.Held(obj)}
	if out.ours {
		return out
	}
	if conditions, has, _ := unstructured.NestedFieldNoCopy(obj.Object, "status", "conditions"); has {
		out.conditions = keptConditions(conditions)
	}
	out.Generation = obj.GetGeneration()
	_, leads := hop.SealedTo(obj, r.mesh)
	out.Sealed = leads || obj.GetAnnotations()[hop.IntentAnnotation] != ""
	out.given = given(obj)
	out.Entry, out.carriers = r.parse(obj)
	return out
}

// maxConditions bounds what is kept of the conditions of an entry, which nobody but the API server bounds: Istio's and ours take a tenth.
const maxConditions = 8 << 10

// keptConditions returns those of a status as JSON: read once in a while, they take a third of what they are decoded. Of more than
// somebody means to say ours alone is kept, and written.
func keptConditions(conditions any) string {
	raw, _ := json.Marshal(conditions) // as it was sent
	if len(raw) <= maxConditions {
		return string(raw)
	}
	items, _ := conditions.([]any)
	ours := slices.DeleteFunc(slices.Clone(items), func(item any) bool { return toldBy([]any{item}) == nil })
	if raw, _ = json.Marshal(ours); len(raw) > maxConditions {
		return ""
	}
	return string(raw)
}

// maxGiven bounds the addresses that istiod gave: two a host, of which the schema has 256.
const maxGiven = 512

// given returns the addresses in the status of a ServiceEntry.
func given(obj *unstructured.Unstructured) (out []netip.Addr) {
	addresses, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "status", "addresses")
	items, _ := addresses.([]any)
	for _, item := range items {
		of, _ := item.(map[string]any)
		value, _ := of["value"].(string)
		if ip, single := egress.SingleIP(value); single && len(out) < maxGiven {
			out = append(out, ip)
		}
	}
	return out
}

// Conditions returns those of its status, everybody's where these are not many.
func (s *Stored) Conditions() (out []any) {
	if s.conditions != "" {
		_ = json.Unmarshal([]byte(s.conditions), &out) // of Read
	}
	return out
}

// Told returns what it tells of its exit, nil for nothing.
func (s *Stored) Told() *Told {
	if !strings.Contains(s.conditions, ConditionExitReady) {
		return nil
	}
	return toldBy(s.Conditions())
}

func (s *Stored) entry() *egress.Entry {
	if s == nil {
		return nil
	}
	return s.Entry
}

// same says whether two have the same to say about hosts.
func (s *Stored) same(other *Stored) bool {
	return s != nil && other != nil && s.UID == other.UID && s.held == other.held && reflect.DeepEqual(s.Entry, other.Entry) && slices.Equal(s.carriers, other.carriers)
}

// ours says whether an object belongs to an exit set.
func (r *Registry) ours(obj *unstructured.Unstructured) bool {
	_, ours := obj.GetAnnotations()[hop.HostAnnotation]
	return ours && obj.GetLabels()[hop.ManagedByLabel] == hop.Manager && len(r.mesh.GatewaysIn(obj.GetNamespace())) > 0
}

// parse returns the entry an author's object stands for, nil when it cannot be read, and the gateways to which routes could lead its
// calls.
func (r *Registry) parse(obj *unstructured.Unstructured) (out *egress.Entry, carriers []string) {
	intent, err := r.intent(obj)
	if err != nil {
		return nil, nil
	}
	parsed, err := egress.ParseIntent(intent)
	if err != nil {
		return nil, nil
	}
	resolution, _, _ := unstructured.NestedString(obj.Object, "spec", "resolution")
	out = &egress.Entry{
		Namespace: Same(obj.GetNamespace()), Name: obj.GetName(), UID: string(obj.GetUID()), Created: obj.GetCreationTimestamp().Time,
		Terminating: obj.GetDeletionTimestamp() != nil,
		Labels:      obj.GetLabels(), Resolution: Same(resolution), External: parsed.External(), ExportTo: egress.ExportTo(obj), Ports: parsed.Ports, Definition: parsed.Define(),
	}
	for _, ports := range [][]egress.Port{out.Ports, out.Definition.Ports} {
		for i := range ports {
			ports[i].Name, ports[i].Protocol = Same(ports[i].Name), Same(ports[i].Protocol)
		}
	}
	out.Addresses, _, _ = unstructured.NestedStringSlice(obj.Object, "spec", "addresses")
	out.Accounts, _ = hop.Accounts(obj)
	for _, host := range parsed.Hosts {
		if host = egress.Canonical(host); !slices.Contains(out.Hosts, host) {
			out.Hosts = append(out.Hosts, host)
		}
	}
	leg, sealed := hop.SealedLeg(obj, r.mesh)
	gw, _ := r.mesh.GatewayByName(leg.Gateway)
	if sealed && out.External && len(hop.Check(parsed, gw.By(leg.Transport), r.mesh)) == 0 {
		out.Gateway, out.Transport, out.Waypoint = leg.Gateway, leg.Transport, hop.BoundTo(obj)
	}
	if !sealed && out.External && (r.mesh.ByRoutes() || r.mesh.Seal && hop.Held(obj)) {
		for _, gw := range r.mesh.Gateways {
			if len(hop.Check(parsed, gw, r.mesh)) == 0 {
				carriers = append(carriers, gw.Name)
			}
		}
	}
	return out, carriers
}

// intent returns an entry as its author wrote it. Where routes lead calls, one that is not sealed stands as it is, and its
// annotation is a tenant's word without effect.
func (r *Registry) intent(obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if _, sealed := hop.SealedTo(obj, r.mesh); !sealed && r.mesh.ByRoutes() {
		return obj, nil
	}
	return hop.EntryIntent(obj, r.mesh)
}
