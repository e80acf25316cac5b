// Package config reads the webhook's configuration file: strictly, so that a misspelt field is an error and not a
// default.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	apiVersion = "config.egress-governor.io/v1alpha1"
	kind       = "Configuration"
)

// Configuration is the content of the file.
type Configuration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// ClusterDomain is the DNS suffix of Services; cluster.local by default.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// ServiceEntries is Seal (the default) or Leave.
	ServiceEntries string `json:"serviceEntries,omitempty"`
	// VirtualServices is Inject (the default) or Leave.
	VirtualServices string `json:"virtualServices,omitempty"`
	// NamespaceSelector selects the governed namespaces, as the webhook configurations do.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// MeshConfig is Istio's ConfigMap, istio-system/istio by default; preflight reads it.
	MeshConfig MeshConfig `json:"meshConfig,omitempty"`
	// Gateways are the ways out; the first whose namespaceSelector matches counts.
	Gateways []Gateway `json:"gateways"`
}

// MeshConfig names Istio's ConfigMap.
type MeshConfig struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Gateway is one way out of the mesh.
type Gateway struct {
	Name     string            `json:"name"`
	Service  string            `json:"service"`
	Selector map[string]string `json:"selector"`
	Ports    Ports             `json:"ports"`
	// Transport is Plain, the default and so far the only one.
	Transport string `json:"transport,omitempty"`
	// NamespaceSelector selects the client namespaces; all by default.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Ports are ports of the gateway's Service; 0 leaves a family out.
type Ports struct {
	HTTP uint32 `json:"http,omitempty"`
	TLS  uint32 `json:"tls,omitempty"`
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
	out := &Configuration{ClusterDomain: "cluster.local", ServiceEntries: "Seal", VirtualServices: "Inject", MeshConfig: MeshConfig{"istio-system", "istio"}}
	if err := yaml.UnmarshalStrict(raw, out); err != nil {
		return nil, err
	}
	if err := out.validate(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Configuration) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	if c.APIVersion != apiVersion {
		bad("apiVersion", "must be %q, is %q", apiVersion, c.APIVersion)
	}
	if c.Kind != kind {
		bad("kind", "must be %q, is %q", kind, c.Kind)
	}
	if len(validation.IsDNS1123Subdomain(c.ClusterDomain)) > 0 {
		bad("clusterDomain", "%q is not a DNS name", c.ClusterDomain)
	}
	if c.ServiceEntries != "Seal" && c.ServiceEntries != "Leave" {
		bad("serviceEntries", "must be Seal or Leave, is %q", c.ServiceEntries)
	}
	if c.VirtualServices != "Inject" && c.VirtualServices != "Leave" {
		bad("virtualServices", "must be Inject or Leave, is %q", c.VirtualServices)
	}
	if len(validation.IsDNS1123Label(c.MeshConfig.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(c.MeshConfig.Name)) > 0 {
		bad("meshConfig", "must give the namespace and name of a ConfigMap, is %q/%q", c.MeshConfig.Namespace, c.MeshConfig.Name)
	}
	if len(c.Gateways) == 0 {
		bad("gateways", "must name at least one egress gateway")
	}
	seen := map[string]bool{}
	for i, gateway := range c.Gateways {
		field := fmt.Sprintf("gateways[%d]", i)
		for _, err := range gateway.validate(c.ClusterDomain) {
			errs = append(errs, fmt.Errorf("%s.%w", field, err))
		}
		if seen[gateway.Name] || seen[gateway.Service] {
			bad(field, "name and service must be unique among the gateways")
		}
		seen[gateway.Name], seen[gateway.Service] = true, true
	}
	return errors.Join(errs...)
}

func (g Gateway) validate(clusterDomain string) (errs []error) {
	if len(validation.IsDNS1123Label(g.Name)) > 0 || len(g.Name) > 40 {
		errs = append(errs, fmt.Errorf("name: %q is not a DNS label of at most 40 characters", g.Name))
	}
	suffix := ".svc." + clusterDomain
	name, ok := strings.CutSuffix(g.Service, suffix)
	if !ok || strings.Count(name, ".") != 1 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		errs = append(errs, fmt.Errorf("service: %q is not of the form <name>.<namespace>%s", g.Service, suffix))
	}
	if len(g.Selector) == 0 {
		errs = append(errs, errors.New("selector: must hold the labels of the gateway's pods"))
	}
	for port, number := range map[string]uint32{"http": g.Ports.HTTP, "tls": g.Ports.TLS} {
		if number > 65535 {
			errs = append(errs, fmt.Errorf("ports.%s: %d is not a port", port, number))
		}
	}
	if g.Ports.HTTP == g.Ports.TLS {
		errs = append(errs, errors.New("ports: http and tls must be given and differ"))
	}
	if g.Transport != "" && !slices.Contains(egress.Transports(), egress.Transport(g.Transport)) {
		errs = append(errs, fmt.Errorf("transport: %q is not available, only %s is", g.Transport, egress.Plain))
	}
	return errs
}

// Mesh returns the configuration as the decisions use it. The error names the selector that does not parse.
func (c *Configuration) Mesh() (*egress.Mesh, error) {
	governed, err := metav1.LabelSelectorAsSelector(&c.NamespaceSelector)
	if err != nil {
		return nil, fmt.Errorf("namespaceSelector: %w", err)
	}
	out := &egress.Mesh{
		ClusterDomain: c.ClusterDomain, Governed: governed,
		Seal: c.ServiceEntries == "Seal", Inject: c.VirtualServices == "Inject",
	}
	for i, gateway := range c.Gateways {
		clients, err := metav1.LabelSelectorAsSelector(&gateway.NamespaceSelector)
		if err != nil {
			return nil, fmt.Errorf("gateways[%d].namespaceSelector: %w", i, err)
		}
		out.Gateways = append(out.Gateways, egress.Gateway{
			Name: gateway.Name, Service: gateway.Service, Selector: labels.Set(gateway.Selector),
			HTTPPort: gateway.Ports.HTTP, TLSPort: gateway.Ports.TLS, Clients: clients,
			Transport: egress.Transport(cmp.Or(gateway.Transport, string(egress.Plain))),
		})
	}
	return out, nil
}
