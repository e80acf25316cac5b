package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// surroundings are what the rest of the cluster says of calls to egress gateways.
type surroundings struct {
	// mesh says nothing against the configuration where Istio's ConfigMap is not there.
	mesh *meshSettings
	// policies are all PeerAuthentications, oldest first; none where no egress gateway takes mutual TLS.
	policies []peerAuthentication
	// rules are the DestinationRules of Istio's root namespace that reach others, oldest first.
	rules []rootRule
}

// around reads what hazards go by.
func (p *Preflight) around(ctx context.Context, mesh *meshSettings) (out surroundings, err error) {
	if out.mesh = mesh; mesh == nil {
		if out.mesh, err = readMeshSettings(""); err != nil {
			return out, err
		}
		out.mesh.TrustDomain = p.Mesh.TrustDomain
	}
	out.rules, err = p.rootRules(ctx, out.mesh)
	if slices.ContainsFunc(p.Mesh.Gateways, takesMutualTLS) {
		var unread error
		out.policies, unread = p.peerAuthentications(ctx)
		err = errors.Join(err, unread)
	}
	return out, err
}

func takesMutualTLS(gw egress.Gateway) bool { return gw.Transport == egress.MutualTLS }

// hazards says what leads clients past an egress gateway, keeps both from calling each other by mutual TLS, or from knowing
// who calls; given are the running pods of the gateway.
func (p *Preflight) hazards(gw egress.Gateway, around surroundings, given []corev1.Pod) (out []egress.Finding, err error) {
	if p.View != nil {
		out = passedBy(p.Mesh, p.View, gw, around.rules)
	}
	if !takesMutualTLS(gw) {
		return out, nil
	}
	out = slices.Concat(out, trustDomain(gw, p.Mesh, around.mesh), identity(gw, given), autoMTLS(gw, around.mesh), defaultExport(gw, p.Mesh, around.mesh),
		defaultRuleExport(gw, around.mesh))
	forwarded, err := forwardedCertificate(gw, around.mesh, given)
	out = append(out, forwarded...)
	if p.View != nil {
		calls := automaticCalls(p.Mesh, p.View, gw, around.rules)
		out = slices.Concat(out, disabled(gw, around, calls), overruled(gw, calls))
	}
	return out, err
}

func trustDomain(gw egress.Gateway, configured *egress.Mesh, mesh *meshSettings) []egress.Finding {
	if mesh.TrustDomain == configured.TrustDomain {
		return nil
	}
	return []egress.Finding{{
		Code: "trust-domain",
		Message: fmt.Sprintf("the mesh's trustDomain is %q and the configuration's %q: clients refuse the certificate of egress gateway %q, and every call through it fails",
			mesh.TrustDomain, configured.TrustDomain, gw.Name),
		Fix: fmt.Sprintf("set trustDomain in the configuration to %q", mesh.TrustDomain),
	}}
}

// identity compares the service account that clients ask for with that of the pods.
func identity(gw egress.Gateway, given []corev1.Pod) []egress.Finding {
	var others []string
	for _, pod := range given {
		if account := pod.Spec.ServiceAccountName; account != gw.ServiceAccount && !slices.Contains(others, account) {
			others = append(others, account)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	return []egress.Finding{{
		Code: "gateway-identity",
		Message: fmt.Sprintf("pods of egress gateway %q have the service account %q, and the configuration says %q: clients refuse their certificate, and calls through them fail",
			gw.Name, strings.Join(others, ", "), gw.ServiceAccount),
		Fix: "correct serviceAccount of the gateway in the configuration, or serviceAccountName of the pods",
	}}
}

func autoMTLS(gw egress.Gateway, mesh *meshSettings) []egress.Finding {
	if mesh.EnableAutoMtls {
		return nil
	}
	return []egress.Finding{{
		Code:    "auto-mtls-off",
		Message: fmt.Sprintf("the mesh's enableAutoMtls is false: HTTP calls reach egress gateway %q without mutual TLS, and it refuses them", gw.Name),
		Fix:     "set meshConfig.enableAutoMtls to true, or leave it out",
	}}
}

// defaultExport says where exits let in more callers than see the entries: those whose author left exportTo out.
func defaultExport(gw egress.Gateway, configured *egress.Mesh, mesh *meshSettings) []egress.Finding {
	_, all := egress.Clients(mesh.DefaultServiceExportTo, "")
	if all || configured.OwnNamespace || len(configured.Gateways) > 1 {
		return nil
	}
	return []egress.Finding{{
		Code: "default-export",
		Message: fmt.Sprintf("the mesh's defaultServiceExportTo is %s: entries whose authors leave exportTo out are not seen by everybody, and egress gateway %q lets everybody in to their hosts",
			strings.Join(mesh.DefaultServiceExportTo, ", "), gw.Name),
		Fix: "set exportTo in the configuration to OwnNamespace, and have the entries written once",
	}}
}

// defaultRuleExport says where a client rule of ours, which leaves exportTo out where others than its own namespace go by it, is not seen by those.
func defaultRuleExport(gw egress.Gateway, mesh *meshSettings) []egress.Finding {
	if _, all := egress.Clients(mesh.DefaultDestinationRuleExportTo, ""); all {
		return nil
	}
	return []egress.Finding{{
		Code: "default-rule-export",
		Message: fmt.Sprintf("the mesh's defaultDestinationRuleExportTo is %s: who calls by an entry of another namespace does not see the DestinationRule beside it, and egress gateway %q refuses the TLS and TCP calls",
			strings.Join(mesh.DefaultDestinationRuleExportTo, ", "), gw.Name),
		Fix: "leave meshConfig.defaultDestinationRuleExportTo out, or bring an entry of each namespace's own",
	}}
}

// annotationConfig is the annotation of pods that stands before the mesh's defaultConfig.
const annotationConfig = "proxy.istio.io/config"

// forwardedCertificate says where a gateway goes by what clients write of themselves, or says nothing of who calls.
func forwardedCertificate(gw egress.Gateway, mesh *meshSettings, given []corev1.Pod) (out []egress.Finding, err error) {
	const path = "gatewayTopology.forwardClientCertDetails"
	say := func(where string, config proxyConfig) {
		if config.GatewayTopology == nil {
			return
		}
		mode := config.GatewayTopology.ForwardClientCertDetails
		if mode == "" || mode == "UNDEFINED" || mode == "SANITIZE_SET" {
			return
		}
		finding := egress.Finding{
			Code: "forwarded-client-cert",
			Message: fmt.Sprintf("%s is %s: by HTTP, egress gateway %q does not learn who calls from certificates alone, and clients may pass for others or be turned away",
				where, mode, gw.Name),
			Fix: "set SANITIZE_SET there, or leave it out, and restart the gateway",
		}
		if !slices.Contains(out, finding) {
			out = append(out, finding)
		}
	}
	inherits := len(given) == 0
	for _, pod := range given {
		// A topology in the annotation replaces the mesh's as a whole.
		var own proxyConfig
		if bad := yaml.Unmarshal([]byte(pod.Annotations[annotationConfig]), &own); bad != nil {
			err = errors.Join(err, fmt.Errorf("annotation %s of pod %s/%s: %w", annotationConfig, pod.Namespace, pod.Name, bad))
		} else if own.GatewayTopology == nil {
			inherits = true
		} else {
			say(path+" in the annotation "+annotationConfig+" of its pods", own)
		}
	}
	if inherits {
		say("meshConfig.defaultConfig."+path, mesh.DefaultConfig)
	}
	return out, err
}
