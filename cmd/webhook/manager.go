package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/certs"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// protocols are what the webhook's port speaks. By HTTP/2 a replica that goes tells on an idle connection what it has read last, and the
// API server sends the rest elsewhere. By HTTP/1.1 whatever is on its way then fails.
func (o options) protocols() []string {
	if o.http2 {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// secure returns how the webhook's port is served, by certificates of a source: everything for it is read now.
func (o options) secure(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (func(*tls.Config), error) {
	only, err := onlyClientsOf(o.clientCA)
	if err != nil {
		return nil, err
	}
	return func(c *tls.Config) {
		c.MinVersion, c.NextProtos, c.GetCertificate = o.minVersion(), o.protocols(), certificate
		only(c)
	}, nil
}

// toKnow is how long a replica may take until it knows what is stored, which controllers wait for: one that was ended for being slow would
// be as slow the next time, and would lead nobody meanwhile.
const toKnow = time.Hour

// newManager has admission served by a draining server, which has none yet.
func newManager(o options, source certs.Source, hosts *registry.Registry, spans *tracing, draining drainingServer) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), networkingv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	secure, err := o.secure(source.GetCertificate)
	if err != nil {
		return nil, err
	}
	caches := hosts.Caches()
	// Parameters that policies share are in the release's namespace alone.
	caches[&corev1.ConfigMap{}] = cache.ByObject{Namespaces: map[string]cache.Config{o.namespace: {}}}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	restConfig.Wrap(spans.transport)
	draining.Server = spans.serving(webhook.NewServer(webhook.Options{
		Host: o.host, Port: o.port,
		TLSOpts: []func(*tls.Config){secure},
	}))
	out := managerOptions(o)
	out.Scheme, out.BaseContext, out.WebhookServer = scheme, spans.context, draining
	out.Cache = cache.Options{ByObject: caches, DefaultTransform: cache.TransformStripManagedFields()}
	return ctrl.NewManager(restConfig, out)
}

func managerOptions(o options) ctrl.Options {
	return ctrl.Options{
		HealthProbeBindAddress: o.probeAddress,
		PprofBindAddress:       o.pprofAddress,
		Metrics:                metricsOptions(o),
		LeaderElection:         o.leaderElect, LeaderElectionID: "egress-governor", LeaderElectionNamespace: o.namespace,
		LeaderElectionReleaseOnCancel: true,
		Controller:                    ctrlconfig.Controller{CacheSyncTimeout: toKnow},
	}
}

// metricsOptions asks the API server about whoever reads metrics, where it is told to, and lets whom it knows change what is logged.
func metricsOptions(o options) server.Options {
	out := server.Options{BindAddress: o.metricsAddress}
	if o.metricsAuth {
		out.SecureServing, out.FilterProvider = true, filters.WithAuthenticationAndAuthorization
		out.ExtraHandlers = map[string]http.Handler{"/log-level": o.level}
	}
	return out
}

func certificate(o options) (certs.Source, error) {
	if o.certMode == files {
		return certs.NewFiles(filepath.Join(o.certDir, "tls.crt"), filepath.Join(o.certDir, "tls.key"))
	}
	return certs.NewSelfManaged(certs.SelfManagedOptions{
		Secret:  types.NamespacedName{Namespace: o.namespace, Name: o.secret},
		Service: o.service, ExtraDNSNames: o.extraDNSNames, Configuration: o.webhookConfiguration,
	}), nil
}
