package controller

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// meshSettings are what is read of Istio's mesh configuration, with Istio's defaults.
type meshSettings struct {
	RootNamespace         string `json:"rootNamespace"`
	TrustDomain           string `json:"trustDomain"`
	EnableAutoMtls        bool   `json:"enableAutoMtls"`
	OutboundTrafficPolicy struct {
		Mode string `json:"mode"`
	} `json:"outboundTrafficPolicy"`
	DefaultConfig proxyConfig `json:"defaultConfig"`
	// DefaultDestinationRuleExportTo stands for an exportTo that a DestinationRule leaves out.
	DefaultDestinationRuleExportTo []string `json:"defaultDestinationRuleExportTo"`
	// DefaultServiceExportTo stands for that of a ServiceEntry.
	DefaultServiceExportTo []string `json:"defaultServiceExportTo"`
	// ServiceEntryVisibility is heeded by ambient mode, which goes by no exportTo.
	ServiceEntryVisibility entryVisibility `json:"serviceEntryVisibility"`
}

// proxyConfig is that of proxies, in the mesh configuration or in the annotation of a pod.
type proxyConfig struct {
	GatewayTopology *struct {
		ForwardClientCertDetails string `json:"forwardClientCertDetails"`
	} `json:"gatewayTopology"`
	ProxyMetadata map[string]any `json:"proxyMetadata"`
}

// capturesDNS says whether sidecars do, as they read it: what they cannot read is off.
func (c proxyConfig) capturesDNS() bool {
	on, _ := strconv.ParseBool(fmt.Sprint(c.ProxyMetadata["ISTIO_META_DNS_CAPTURE"]))
	return on
}

// CapturesDNS says whether sidecars capture DNS, by the key mesh of Istio's ConfigMap. The error is that of one that is not YAML.
func CapturesDNS(mesh string) (bool, error) {
	settings, err := readMeshSettings(mesh)
	return err == nil && settings.DefaultConfig.capturesDNS(), err
}

// RegistryOnly says whether sidecars drop calls to hosts that nobody registered, by the same key, where no Sidecar says otherwise. The
// error is that of one that is not YAML.
func RegistryOnly(mesh string) (bool, error) {
	settings, err := readMeshSettings(mesh)
	return err == nil && settings.registryOnly(), err
}

// RootNamespace is Istio's, by the same key. The error is that of one that is not YAML.
func RootNamespace(mesh string) (string, error) {
	settings, err := readMeshSettings(mesh)
	if err != nil {
		return "", err
	}
	return settings.RootNamespace, nil
}

// registryOnly says whether calls to hosts that nobody registered are dropped.
func (m *meshSettings) registryOnly() bool {
	return strings.EqualFold(m.OutboundTrafficPolicy.Mode, "REGISTRY_ONLY")
}

// readMeshSettings reads the key mesh of Istio's ConfigMap. The error is that of one that is not YAML.
func readMeshSettings(text string) (*meshSettings, error) {
	out := &meshSettings{RootNamespace: "istio-system", TrustDomain: "cluster.local", EnableAutoMtls: true}
	if err := yaml.Unmarshal([]byte(text), out); err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	return out, nil
}

// meshSettingsOf reads Istio's ConfigMap; nil where Istio is not here, or elsewhere.
func meshSettingsOf(ctx context.Context, live client.Reader, name types.NamespacedName) (*meshSettings, error) {
	stored := &corev1.ConfigMap{}
	if err := live.Get(ctx, name, stored); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	return readMeshSettings(stored.Data["mesh"])
}
