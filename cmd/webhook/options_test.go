package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/egress-governor/egress-governor/internal/version"
)

// parsed returns the options that these arguments give.
func parsed(t *testing.T, args ...string) options {
	t.Helper()
	var o options
	cmd := &cobra.Command{}
	o.bind(cmd)
	require.NoError(t, cmd.ParseFlags(args))
	return o
}

// executed runs the command up to its first error and returns what it printed.
func executed(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command(zap.NewAtomicLevel())
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDefaultsNeedTheNamespaceAlone(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "egress-system")
	o := parsed(t)
	require.NoError(t, o.validate())
	assert.Equal(t, options{
		config: "/etc/egress-governor/config.yaml", namespace: "egress-system",
		certMode: "self-managed", certDir: "/etc/egress-governor/certs",
		secret: "egress-governor-webhook-cert", service: "egress-governor-webhook", webhookConfiguration: "egress-governor",
		tlsMinVersion: "1.3", port: 9443, probeAddress: ":8081", metricsAddress: ":8080",
		leaderElect: true, http2: true, shutdownDelay: 5 * time.Second, logLevel: "info",
	}, o)
	assert.Equal(t, "other", parsed(t, "--namespace=other").namespace, "the flag counts more than the environment")

	t.Setenv("POD_NAMESPACE", "")
	require.ErrorContains(t, parsed(t).validate(), "--namespace must be given")
}

func TestFlagsReachTheirOption(t *testing.T) {
	t.Parallel()
	assert.Equal(t, options{
		config: "c", namespace: "n", certMode: "files", certDir: "d", secret: "s", service: "svc", webhookConfiguration: "w",
		extraDNSNames: []string{"a", "b"}, tlsMinVersion: "1.2", host: "h", port: 1, probeAddress: "p", metricsAddress: "0",
		leaderElect: false, shutdownDelay: time.Minute, logLevel: "debug", pprofAddress: "127.0.0.1:6060",
	}, parsed(t, "--config=c", "--namespace=n", "--cert-mode=files", "--cert-dir=d", "--secret-name=s", "--service-name=svc",
		"--webhook-configuration=w", "--extra-dns-names=a,b", "--tls-min-version=1.2", "--host=h", "--port=1", "--probe-address=p",
		"--metrics-address=0", "--leader-elect=false", "--enable-http2=false", "--shutdown-delay=1m", "--log-level=debug", "--pprof-address=127.0.0.1:6060"))
}

func TestABadFlagIsNamed(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"--config=":                 "--config must be given",
		"--namespace=":              "--namespace must be given",
		"--service-name=":           "--service-name must be given",
		"--webhook-configuration=":  "--webhook-configuration must be given",
		"--secret-name=":            "--secret-name must be given with --cert-mode=self-managed",
		"--cert-mode=files":         "--cert-dir must be given with --cert-mode=files",
		"--cert-mode=vault":         `--cert-mode must be self-managed or files, is "vault"`,
		"--tls-min-version=1.1":     `--tls-min-version must be 1.2 or 1.3, is "1.1"`,
		"--port=0":                  "--port must be a port, is 0",
		"--port=65536":              "--port must be a port, is 65536",
		"--shutdown-delay=-1s":      "--shutdown-delay must not be negative, is -1s",
		"--log-level=loud":          `--log-level must be debug, info, warn or error, is "loud"`,
		"--port=https":              `"--port" flag`,
		"--leader-elect=maybe":      `"--leader-elect" flag`,
		"--shutdown-delay=5":        `"--shutdown-delay" flag`,
		"--cert-directory=/certs":   "unknown flag: --cert-directory",
		"validate":                  `unknown command "validate"`,
		"--extra-dns-names=a,\"b,c": `"--extra-dns-names" flag`,
	} {
		t.Run(arg, func(t *testing.T) {
			t.Parallel()
			_, err := executed(t, "--namespace=egress-system", "--cert-dir=", arg)
			require.ErrorContains(t, err, want)
		})
	}
}

func TestAllBadFlagsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := executed(t, "--config=", "--namespace=", "--cert-mode=vault", "--port=0")
	require.EqualError(t, err, strings.Join([]string{
		"--config must be given", "--namespace must be given", `--cert-mode must be self-managed or files, is "vault"`, "--port must be a port, is 0",
	}, "\n"))
}

func TestACertificateNeedsOnlyTheFlagsOfItsMode(t *testing.T) {
	t.Parallel()
	require.NoError(t, parsed(t, "--namespace=n", "--cert-mode=files", "--secret-name=").validate())
	require.NoError(t, parsed(t, "--namespace=n", "--cert-mode=self-managed", "--cert-dir=").validate())
}

// TestTheLogLevelIsChanged at run time, by those alone whom the API server knows.
func TestTheLogLevelIsChanged(t *testing.T) {
	t.Parallel()
	o := options{level: zap.NewAtomicLevel(), metricsAuth: true}
	assert.Nil(t, metricsOptions(options{}).ExtraHandlers, "nobody asks who it is")
	handler := metricsOptions(o).ExtraHandlers["/log-level"]
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/log-level", strings.NewReader(`{"level": "debug"}`)))
	assert.Equal(t, http.StatusOK, answer.Code)
	assert.Equal(t, zap.DebugLevel, o.level.Level())
}

func TestLowestTLSVersion(t *testing.T) {
	t.Parallel()
	assert.Equal(t, uint16(tls.VersionTLS13), parsed(t).minVersion())
	assert.Equal(t, uint16(tls.VersionTLS12), parsed(t, "--tls-min-version=1.2").minVersion())
}

func TestVersionNeedsNothingElse(t *testing.T) {
	t.Parallel()
	out, err := executed(t, "--version")
	require.NoError(t, err)
	assert.Equal(t, "webhook version "+version.String()+"\n", out)
	assert.NotEmpty(t, version.String())
}
