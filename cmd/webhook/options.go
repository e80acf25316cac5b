package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/egress-governor/egress-governor/internal/version"
)

// The values of --cert-mode.
const (
	selfManaged = "self-managed"
	files       = "files"
)

// options are the flags.
type options struct {
	config, namespace                     string
	certMode, certDir                     string
	secret, service, webhookConfiguration string
	extraDNSNames                         []string
	tlsMinVersion, clientCA               string
	host                                  string
	port                                  int
	probeAddress, metricsAddress          string
	metricsAuth                           bool
	leaderElect, http2                    bool
	shutdownDelay                         time.Duration
	logLevel, pprofAddress                string
	// level is what is logged now.
	level zap.AtomicLevel
}

// command logs from level on, which its flag sets.
func command(level zap.AtomicLevel) *cobra.Command {
	o := options{level: level}
	out := &cobra.Command{
		Use: "webhook", Short: "Governs how traffic leaves an Istio mesh", Version: version.String(),
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			from, _ := zapcore.ParseLevel(o.logLevel) // validated above
			o.level.SetLevel(from)
			limitMemory(cgroupLimits)
			return run(cmd.Context(), o)
		},
	}
	o.bind(out)
	out.CompletionOptions.DisableDefaultCmd = true
	out.AddCommand(testCommand())
	return out
}

// bind makes the options the command's flags.
func (o *options) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.config, "config", "/etc/egress-governor/config.yaml", "configuration file")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the release (default $POD_NAMESPACE)")
	flags.StringVar(&o.certMode, "cert-mode", selfManaged, "who makes the serving certificate: self-managed or files")
	flags.StringVar(&o.certDir, "cert-dir", "/etc/egress-governor/certs", "folder of tls.crt and tls.key, with cert-mode files")
	flags.StringVar(&o.secret, "secret-name", "egress-governor-webhook-cert", "Secret of the certificates, with cert-mode self-managed")
	flags.StringVar(&o.service, "service-name", "egress-governor-webhook", "name of the webhook's Service")
	flags.StringVar(&o.webhookConfiguration, "webhook-configuration", "egress-governor", "name of both webhook configurations")
	flags.StringSliceVar(&o.extraDNSNames, "extra-dns-names", nil, "further names of the webhook for its certificate")
	flags.StringVar(&o.tlsMinVersion, "tls-min-version", "1.3", "lowest TLS version: 1.2 or 1.3")
	flags.BoolVar(&o.http2, "enable-http2", true, "speak HTTP/2 to clients that do. HTTP/1.1 is cheaper and spreads an API server's requests over replicas, but one that stops may lose a request")
	flags.StringVar(&o.clientCA, "client-ca", "", "file with the authority of the API server's client certificate; everybody is answered without it")
	flags.StringVar(&o.host, "host", "", "address to serve on (default all)")
	flags.IntVar(&o.port, "port", 9443, "port to serve admission on")
	flags.StringVar(&o.probeAddress, "probe-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of /metrics; 0 for none")
	flags.BoolVar(&o.metricsAuth, "metrics-auth", false, "serve /metrics by HTTPS, and to none but whom the API server lets get the path")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "elect one replica to keep the exit sets")
	flags.DurationVar(&o.shutdownDelay, "shutdown-delay", 5*time.Second, "how long to serve on after SIGTERM, while clients learn that this replica goes")
	flags.StringVar(&o.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	flags.StringVar(&o.pprofAddress, "pprof-address", "", "address of /debug/pprof for whoever reaches it (default none)")
}

// validate names every flag that cannot be used, always in the same order.
func (o options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, required := range [][2]string{
		{"config", o.config}, {"namespace", o.namespace}, {"service-name", o.service}, {"webhook-configuration", o.webhookConfiguration},
	} {
		if required[1] == "" {
			bad("--%s must be given", required[0])
		}
	}
	switch o.certMode {
	case selfManaged:
		if o.secret == "" {
			bad("--secret-name must be given with --cert-mode=self-managed")
		}
	case files:
		if o.certDir == "" {
			bad("--cert-dir must be given with --cert-mode=files")
		}
	default:
		bad("--cert-mode must be self-managed or files, is %q", o.certMode)
	}
	if o.tlsMinVersion != "1.2" && o.tlsMinVersion != "1.3" {
		bad("--tls-min-version must be 1.2 or 1.3, is %q", o.tlsMinVersion)
	}
	if o.port < 1 || o.port > 65535 {
		bad("--port must be a port, is %d", o.port)
	}
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		bad("--log-level must be debug, info, warn or error, is %q", o.logLevel)
	}
	if o.shutdownDelay < 0 {
		bad("--shutdown-delay must not be negative, is %s", o.shutdownDelay)
	}
	return errors.Join(errs...)
}

func (o options) minVersion() uint16 {
	if o.tlsMinVersion == "1.2" {
		return tls.VersionTLS12
	}
	return tls.VersionTLS13
}
