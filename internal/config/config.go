// Package config reads the webhook's configuration file: strictly, so that a misspelt field is an error and not a
// default.
package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	apiVersion = "config.egress-governor.io/v1alpha1"
	kind       = "Configuration"
	docsURL    = "https://github.com/egress-governor/egress-governor/blob/main/docs/codes/{code}.md"
)

// Configuration is the content of the file.
type Configuration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// ClusterDomain is the DNS suffix of Services; cluster.local by default.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// TrustDomain is that of the mesh's identities, as its trustDomain; cluster.local by default.
	TrustDomain string `json:"trustDomain,omitempty"`
	// ServiceEntries is Seal (the default), or Leave, which stores them as they are written; routes alone then lead their calls
	// to gateways.
	ServiceEntries string `json:"serviceEntries,omitempty"`
	// VirtualServices is Inject (the default), or Leave, which stores them as they are written; with both Leave objects are
	// evaluated only.
	VirtualServices string `json:"virtualServices,omitempty"`
	// ExportTo says what an exportTo means that the author of a ServiceEntry of external hosts, or of a VirtualService for
	// calls of the mesh, left out: AsWritten (the default), which is everybody as in Istio, or OwnNamespace.
	ExportTo string `json:"exportTo,omitempty"`
	// Unregistered is Leave (the default) or Block: what becomes of calls to hosts that no entry names.
	Unregistered string `json:"unregistered,omitempty"`
	// NetworkPolicies is Leave (the default), or Manage, which keeps a NetworkPolicy in every governed namespace.
	NetworkPolicies string `json:"networkPolicies,omitempty"`
	// NetworkPolicy is what that lets pods reach.
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitempty"`
	// NamespaceSelector selects the governed namespaces, as the webhook configurations do.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Observe says of which namespaces it is told what governing them would change; of none by default.
	Observe Observe `json:"observe,omitempty"`
	// DNSCapture says whether sidecars capture DNS: On, Off, or Detect (the default), which reads it from MeshConfig.
	DNSCapture Switch `json:"dnsCapture,omitempty"`
	// MeshConfig is Istio's ConfigMap, istio-system/istio by default; preflight, DNSCapture Detect and Unregistered Block
	// read it. Its namespace is istiod's.
	MeshConfig MeshConfig `json:"meshConfig,omitempty"`
	// MeshCIDRs are addresses of the mesh beside its pods: virtual machines, other clusters. Entries of MESH_INTERNAL may
	// have endpoints there.
	MeshCIDRs []string `json:"meshCIDRs,omitempty"`
	// ClusterCIDRs are the addresses of pods, Services and nodes. With MeshCIDRs, loopback and link-local ones they are what
	// names below a wildcard must not resolve to; endpoints of external entries must not lie in them.
	ClusterCIDRs []string `json:"clusterCIDRs,omitempty"`
	// MaxHostsPerNamespace bounds the external hosts that the entries of one namespace name, and so the objects that its
	// exits take; 1000 by default, 0 for no bound.
	MaxHostsPerNamespace int `json:"maxHostsPerNamespace,omitempty"`
	// Baseline is what of the library is in force without an EgressPolicy of the cluster's own.
	Baseline Baseline `json:"baseline,omitempty"`
	// Audit says how what is stored is judged again.
	Audit Audit `json:"audit,omitempty"`
	// Suspend bounds what is suspended.
	Suspend Suspend `json:"suspend,omitempty"`
	// DocsURL is the page about a code, with {code} in the place of it, that stands in answers; that of the project's documents by
	// default, and none where it is empty.
	DocsURL string `json:"docsURL,omitempty"`
	// OPA says where bundles with policies come from, and where decisions are logged, in the words of OPA's own configuration.
	OPA OPA `json:"opa,omitempty"`
	// Gateways are the ways out; the first whose namespaceSelector matches counts.
	Gateways []Gateway `json:"gateways"`
}

// Baseline says what violations of the library's standard policies do.
type Baseline struct {
	// Enforcement is the most that they do: Deny (the default), Warn, Audit or Off.
	Enforcement Switch `json:"enforcement,omitempty"`
	// NamespaceSelector selects the namespaces that they evaluate; all governed ones by default.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Policies says otherwise of single ones, by name.
	Policies map[string]BaselinePolicy `json:"policies,omitempty"`
}

// BaselinePolicy is what differs for one policy of the baseline.
type BaselinePolicy struct {
	// Enforcement is Deny, Warn, Audit or Off; the baseline's by default, or less where the policy comes with less.
	Enforcement Switch `json:"enforcement,omitempty"`
	// Parameters take the place of those that the policy comes with.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	// NamespaceSelector takes the place of the baseline's.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Switch is On, Off, or a word of the field's own.
type Switch string

// UnmarshalJSON implements json.Unmarshaler: YAML takes On and Off without quotation marks for booleans.
func (s *Switch) UnmarshalJSON(raw []byte) error {
	switch string(raw) {
	case "true":
		*s = "On"
	case "false":
		*s = "Off"
	default:
		return json.Unmarshal(raw, (*string)(s))
	}
	return nil
}

// Observe says whose objects are left as they are, and told of.
type Observe struct {
	// NamespaceSelector selects the namespaces; those that are governed are governed all the same.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Audit says how what is stored is judged again.
type Audit struct {
	// Interval is how often that is done though nothing changed; 1h by default.
	Interval metav1.Duration `json:"interval,omitempty"`
	// ObjectsPerSecond bounds it; 100 by default.
	ObjectsPerSecond int `json:"objectsPerSecond,omitempty"`
	// Reports says whether reports are written where the cluster knows their kinds; true by default.
	Reports bool `json:"reports,omitempty"`
}

// Suspend bounds what is suspended.
type Suspend struct {
	// MaxShare is the share of all exits that is suspended at once, 5 in any case; 0.2 by default.
	MaxShare float64 `json:"maxShare,omitempty"`
}

// MeshConfig names Istio's ConfigMap.
type MeshConfig struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Key names the ConfigMap.
func (m MeshConfig) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}
}

// Gateway is one way out of the mesh.
type Gateway struct {
	// Name is unique among the gateways, a DNS label.
	Name string `json:"name"`
	// Service is the FQDN of the gateway's Service; no two gateways share one.
	Service string `json:"service"`
	// Selector holds the labels of the gateway's pods. No other gateway of its namespace may select them.
	Selector map[string]string `json:"selector"`
	Ports    Ports             `json:"ports"`
	// Transport is Plain (the default) or MutualTLS.
	Transport string `json:"transport,omitempty"`
	// Wildcards is Refuse (the default), or Resolve: the gateway asks DNS for names below wildcards that no endpoint serves.
	Wildcards string `json:"wildcards,omitempty"`
	// ServiceAccount is that of the gateway's pods, by default the one that has the Service's name. Clients ask for it by
	// MutualTLS.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// NamespaceSelector selects the client namespaces; all by default.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Waypoint checks who calls from namespaces in ambient mode; none by default. The gateway's transport is then Plain.
	Waypoint *Waypoint `json:"waypoint,omitempty"`
}

// Waypoint names a waypoint.
type Waypoint struct {
	// Name is that of its Gateway, and of its Service.
	Name string `json:"name"`
	// Namespace is its own; by default each namespace has one of that name.
	Namespace string `json:"namespace,omitempty"`
}

// Ports are ports of the gateway's Service; 0 leaves a family out.
type Ports struct {
	HTTP uint32 `json:"http,omitempty"`
	TLS  uint32 `json:"tls,omitempty"`
}

// Captures says whether sidecars capture DNS, where the configuration has that detected by what was found.
func (c *Configuration) Captures(found bool) bool {
	return c.DNSCapture == "On" || c.DNSCapture == "Detect" && found
}

// Load reads and validates a file. The error names the file and the field.
func Load(path string) (*Configuration, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// Parse reads and validates the content of a file. The error names the field.
func Parse(raw []byte) (*Configuration, error) {
	out := &Configuration{
		ClusterDomain: "cluster.local", TrustDomain: "cluster.local", ServiceEntries: "Seal", VirtualServices: "Inject", ExportTo: "AsWritten", DNSCapture: "Detect",
		Unregistered: "Leave", NetworkPolicies: "Leave", DocsURL: docsURL,
		MeshConfig: MeshConfig{Namespace: "istio-system", Name: "istio"}, MaxHostsPerNamespace: 1000,
		Baseline: Baseline{Enforcement: "Deny"},
		Audit:    Audit{Interval: metav1.Duration{Duration: time.Hour}, ObjectsPerSecond: 100, Reports: true}, Suspend: Suspend{MaxShare: 0.2},
	}
	if err := yaml.UnmarshalStrict(raw, out); err != nil {
		return nil, err
	}
	out.NetworkPolicy.setDefaults()
	if err := out.validate(); err != nil {
		return nil, err
	}
	return out, nil
}

// Mesh returns the configuration as the decisions use it. The error names the selector that does not parse.
func (c *Configuration) Mesh() (*egress.Mesh, error) {
	governed, err := metav1.LabelSelectorAsSelector(&c.NamespaceSelector)
	if err != nil {
		return nil, fmt.Errorf("namespaceSelector: %w", err)
	}
	out := &egress.Mesh{
		ClusterDomain: c.ClusterDomain, TrustDomain: c.TrustDomain, Governed: governed,
		Seal: c.ServiceEntries == "Seal", Inject: c.VirtualServices == "Inject", MaxHosts: c.MaxHostsPerNamespace,
		DocsURL: c.DocsURL, OwnNamespace: c.ExportTo == "OwnNamespace", Block: c.Unregistered == "Block", IstioNamespace: c.MeshConfig.Namespace,
	}
	if of := c.Observe.NamespaceSelector; of != nil {
		if out.Observed, err = metav1.LabelSelectorAsSelector(of); err != nil {
			return nil, fmt.Errorf("observe.namespaceSelector: %w", err)
		}
	}
	if out.CIDRs, err = ranges("meshCIDRs", c.MeshCIDRs); err != nil {
		return nil, err
	}
	if out.ClusterCIDRs, err = ranges("clusterCIDRs", c.ClusterCIDRs); err != nil {
		return nil, err
	}
	for i, gateway := range c.Gateways {
		clients, err := metav1.LabelSelectorAsSelector(&gateway.NamespaceSelector)
		if err != nil {
			return nil, fmt.Errorf("gateways[%d].namespaceSelector: %w", i, err)
		}
		out.Gateways = append(out.Gateways, egress.Gateway{
			Name: gateway.Name, Service: gateway.Service, Selector: labels.Set(gateway.Selector),
			HTTPPort: gateway.Ports.HTTP, TLSPort: gateway.Ports.TLS, Clients: clients,
			Transport: egress.Transport(cmp.Or(gateway.Transport, string(egress.Plain))), ServiceAccount: gateway.ServiceAccount,
			Wildcards: gateway.Wildcards == "Resolve",
		})
		if of := &out.Gateways[i]; of.ServiceAccount == "" {
			of.ServiceAccount = of.ServiceName()
		}
		if waypoint := gateway.Waypoint; waypoint != nil {
			out.Gateways[i].Waypoint = egress.Waypoint{Namespace: waypoint.Namespace, Name: waypoint.Name}
		}
	}
	return out, nil
}

func ranges(field string, texts []string) (out []netip.Prefix, err error) {
	for i, text := range texts {
		cidr, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		out = append(out, cidr.Masked())
	}
	return out, nil
}
