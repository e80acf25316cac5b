package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"
)

// meshSettings are what preflight reads of Istio's mesh configuration, with Istio's defaults.
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
}

// proxyConfig is that of proxies, in the mesh configuration or in the annotation of a pod.
type proxyConfig struct {
	GatewayTopology *struct {
		ForwardClientCertDetails string `json:"forwardClientCertDetails"`
	} `json:"gatewayTopology"`
}

// readMeshSettings reads the key mesh of Istio's ConfigMap. The error is that of one that is not YAML.
func readMeshSettings(text string) (*meshSettings, error) {
	out := &meshSettings{RootNamespace: "istio-system", TrustDomain: "cluster.local", EnableAutoMtls: true}
	if err := yaml.Unmarshal([]byte(text), out); err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	return out, nil
}

// meshSettings reads Istio's mesh configuration; nil where Istio is not here, or elsewhere.
func (p *Preflight) meshSettings(ctx context.Context) (*meshSettings, error) {
	stored := &corev1.ConfigMap{}
	if err := p.Live.Get(ctx, p.MeshConfig, stored); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	return readMeshSettings(stored.Data["mesh"])
}
