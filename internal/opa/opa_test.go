package opa_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/opa"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// keys is a pair by which bundles are signed and verified.
type keys struct{ private, public string }

func newKeys(t *testing.T) keys {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return keys{
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	}
}

// packed is a bundle of one policy and its data, as a server has it; it is signed where there are keys.
func packed(t *testing.T, by *keys, revision, rego string) []byte {
	t.Helper()
	of := bundle.Bundle{Data: map[string]any{"revision": revision}, Modules: []bundle.ModuleFile{{Path: "/p.rego", URL: "/p.rego", Raw: []byte(rego)}}}
	of.Manifest.Init()
	of.Manifest.Revision = revision
	if by != nil {
		require.NoError(t, of.GenerateSignature(bundle.NewSigningConfig(by.private, "ES256", ""), "release", false))
	}
	var out bytes.Buffer
	require.NoError(t, bundle.NewWriter(&out).UseModulePath(true).DisableFormat(true).Write(of))
	return out.Bytes()
}

// zeros are as many as are read.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}

// server has a bundle, and takes decisions.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	holds []byte
	token string
	taken []map[string]any
}

func newServer(t *testing.T) *server {
	t.Helper()
	out := &server{}
	out.Server = httptest.NewServer(out)
	t.Cleanup(out.Close)
	return out
}

func (s *server) serve(of []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = of
}

func (s *server) decisions() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var events []map[string]any
		if err := json.NewDecoder(unzipped).Decode(&events); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.taken = append(s.taken, events...)
		return
	}
	etag := fmt.Sprintf("%x", sha256.Sum256(s.holds))
	switch {
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		http.Error(w, "who are you", http.StatusUnauthorized)
	case s.holds == nil:
		http.NotFound(w, r)
	case r.Header.Get("If-None-Match") == etag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(s.holds)
	}
}

// TestCredentialsAreThoseOfTheConfiguration, and there are no others.
func TestCredentialsAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	control := newServer(t)
	control.token = "s3cret"
	control.serve(packed(t, nil, "1", denying("first")))
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("s3cret"), 0o600))
	configuration := fetching(control.URL, nil)
	of := start(t, configuration, io.Discard)
	of.Wait(t.Context())
	require.Error(t, of.Problem("acme"))
	service := configuration["services"].(map[string]any)["control"].(map[string]any)
	service["credentials"] = map[string]any{"bearer": map[string]any{"token_path": file}}
	of = start(t, configuration, io.Discard)
	of.Wait(t.Context())
	require.NoError(t, of.Problem("acme"))
	require.NotEmpty(t, of.Version("acme"))
}

// TestOfTwoMasksNoneIsLost, whatever their files and bundles are called, and what is the same is not told of again.
func TestOfTwoMasksNoneIsLost(t *testing.T) {
	t.Parallel()
	control := newServer(t)
	of := bundle.Bundle{Data: map[string]any{}}
	for file, path := range map[string]string{"/a/mask.rego": "/input/a", "/b/mask.rego": "/input/b"} {
		of.Modules = append(of.Modules, bundle.ModuleFile{Path: file, URL: file, Raw: []byte("package system.log\n\nmask contains \"" + path + "\"\n")})
	}
	of.Manifest.Init()
	var raw bytes.Buffer
	require.NoError(t, bundle.NewWriter(&raw).UseModulePath(true).DisableFormat(true).Write(of))
	control.serve(raw.Bytes())
	configuration := fetching(control.URL, nil)
	configuration["bundles"] = map[string]any{"configuration": configuration["bundles"].(map[string]any)["acme"]}
	configuration["mask"] = "package system.log\n\nmask contains \"/input/c\"\n"
	configuration["decision_logs"] = map[string]any{"service": "control", "reporting": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1}}
	running := start(t, configuration, io.Discard)
	running.Wait(t.Context())
	running.Decided(opa.Decision{ID: "uid", Input: map[string]any{"a": 1, "b": 1, "c": 1, "d": 1}, Result: map[string]any{}})
	eventually(t, func() bool { return len(control.decisions()) == 1 })
	assert.Equal(t, map[string]any{"d": float64(1)}, control.decisions()[0]["input"])
}

// started is an OPA that runs by a configuration, with what it was told.
type started struct {
	*opa.OPA
	engine  *policy.Engine
	metrics *prometheus.Registry
	stop    func()
}

func start(t *testing.T, configuration map[string]any, console io.Writer) *started {
	t.Helper()
	return startLogged(t, configuration, console, logr.Discard())
}

func startLogged(t *testing.T, configuration map[string]any, console io.Writer, log logr.Logger) *started {
	t.Helper()
	raw, err := json.Marshal(configuration)
	require.NoError(t, err)
	out := &started{metrics: prometheus.NewRegistry()}
	out.engine, err = policy.NewEngine(policies.Library())
	require.NoError(t, err)
	out.OPA, err = opa.New(opa.Options{Configuration: raw, Engine: out.engine, Metrics: out.metrics, Log: log, Console: console})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- out.Start(ctx) }()
	out.stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(out.stop)
	return out
}

func (s *started) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// within is how long a test waits for what is sure to come, on however busy a machine.
const within = time.Minute

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, within, 20*time.Millisecond)
}

// fetching is a configuration with one bundle, which is asked for every second.
func fetching(url string, by *keys) map[string]any {
	of := map[string]any{"service": "control", "resource": "/bundle.tar.gz", "polling": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1}}
	out := map[string]any{"services": map[string]any{"control": map[string]any{"url": url}}, "bundles": map[string]any{"acme": of}}
	if by != nil {
		out["keys"] = map[string]any{"release": map[string]any{"key": by.public, "algorithm": "ES256"}}
		of["signing"] = map[string]any{"keyid": "release"}
	}
	return out
}

func denying(text string) string {
	return "package policies.p\n\ndeny contains sprintf(\"%s by %v\", [\"" + text + "\", data.revision])\n"
}

// TestTheLastGoodBundleStays while a server has none, one that does not compile, one that is not signed, one of another's key, or is
// gone; a new one is taken.
func TestTheLastGoodBundleStays(t *testing.T) {
	t.Parallel()
	by, other := newKeys(t), newKeys(t)
	control := newServer(t)
	of := start(t, fetching(control.URL, &by), io.Discard)
	of.Wait(t.Context())
	require.ErrorContains(t, of.Problem("acme"), "Not Found")
	assert.Empty(t, of.Version("acme"))
	assert.InDelta(t, 1, of.metric(t, "egress_governor_bundle_failed"), 0)

	control.serve(packed(t, &by, "1", denying("first")))
	eventually(t, func() bool { return of.Version("acme") != "" && of.Problem("acme") == nil })
	first := of.Version("acme")
	assert.Zero(t, of.metric(t, "egress_governor_bundle_failed"))
	assert.NotZero(t, of.metric(t, "egress_governor_bundle_activation_timestamp_seconds"))
	bomb := func(size int) []byte {
		var out bytes.Buffer
		packer := gzip.NewWriter(&out)
		_, err := io.CopyN(packer, zeros{}, int64(size))
		require.NoError(t, errors.Join(err, packer.Close()))
		return out.Bytes()
	}
	for says, next := range map[string][]byte{
		"more than 64 MiB, unpacked": bomb(80 << 20),
		"more than 32 MiB":           bytes.Repeat([]byte("random"), 7<<20),
		"missing .signatures.json":   packed(t, nil, "2", denying("unsigned")),
		"failed to verify":           packed(t, &other, "3", denying("forged")),
		"acme/p.rego:3":              packed(t, &by, "4", "package policies.p\n\ndeny contains http.send({}).raw_body\n"),
		"gzip: invalid header":       []byte("no tarball"),
		"is the library's own":       packed(t, &by, "5", "package policies.lib.result\n\nof(_, _, _, _) := {}\n"),
		"reads input and itself":     packed(t, &by, "6", "package system.log\n\nmask contains data.x\n"),
		"Not Found":                  nil,
	} {
		control.serve(next)
		if !assert.Eventually(t, func() bool { return of.Problem("acme") != nil && strings.Contains(of.Problem("acme").Error(), says) }, within, 20*time.Millisecond, says) {
			t.Log(of.Problem("acme"))
		}
		assert.Equal(t, first, of.Version("acme"), says)
	}
	control.serve(packed(t, &by, "1", denying("first")))
	eventually(t, func() bool { return of.Problem("acme") == nil })
	assert.Equal(t, first, of.Version("acme"))
	control.serve(packed(t, &by, "7", denying("second")))
	eventually(t, func() bool { return of.Version("acme") != first })
	require.NoError(t, of.Problem("acme"))
	second := of.Version("acme")
	control.Close()
	eventually(t, func() bool { return of.Problem("acme") != nil })
	assert.Equal(t, second, of.Version("acme"))
}

// TestWhatOPAWouldLeaveOutIsRefused: a word that is none, and what would have a bundle taken without its signature.
func TestWhatOPAWouldLeaveOutIsRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(map[string]any){
		`unknown field "bundels"`: func(c map[string]any) { c["bundels"] = c["bundles"] },
		`unknown field "resorce"`: func(c map[string]any) { bundles(c)["resorce"] = "x" },
		`unknown field "tokn"`: func(c map[string]any) {
			c["services"].(map[string]any)["control"].(map[string]any)["credentials"] = map[string]any{"bearer": map[string]any{"tokn": "x"}}
		},
		"services.control.credentials.plugin: must be left out": func(c map[string]any) {
			c["services"].(map[string]any)["control"].(map[string]any)["credentials"] = map[string]any{"plugin": "x"}
		},
		"services.other: is empty":                          func(c map[string]any) { c["services"].(map[string]any)["other"] = nil },
		"keys.other: is empty":                              func(c map[string]any) { c["keys"].(map[string]any)["other"] = nil },
		"bundles.other: names a service":                    func(c map[string]any) { c["bundles"].(map[string]any)["other"] = nil },
		"bundles.acme.signing: is missing":                  func(c map[string]any) { delete(bundles(c), "signing") },
		"bundles.acme.persist: must be left out":            func(c map[string]any) { bundles(c)["persist"] = true },
		"bundles.acme.trigger: must be periodic":            func(c map[string]any) { bundles(c)["trigger"] = "manual" },
		`bundles.acme.service: there is no service "other"`: func(c map[string]any) { bundles(c)["service"] = "other" },
		"bundles.acme: names a service and a resource":      func(c map[string]any) { delete(bundles(c), "service") },
		"bundles.a/b: is no name":                           func(c map[string]any) { c["bundles"].(map[string]any)["a/b"] = bundles(c) },
		"decision_logs: names":                              func(c map[string]any) { c["decision_logs"] = map[string]any{} },
		"decision_logs.plugin: must be file_logger":         func(c map[string]any) { c["decision_logs"] = map[string]any{"plugin": "other"} },
		`invalid service name "gone"`:                       func(c map[string]any) { c["decision_logs"] = map[string]any{"service": "gone"} },
		"max polling delay must be": func(c map[string]any) {
			bundles(c)["polling"] = map[string]any{"min_delay_seconds": 2, "max_delay_seconds": 1}
		},
		"config.opa/mask.rego:1": func(c map[string]any) { c["mask"] = "no rego" },
	} {
		by := newKeys(t)
		configuration := fetching("http://127.0.0.1:1", &by)
		change(configuration)
		raw, err := json.Marshal(configuration)
		require.NoError(t, err)
		engine, err := policy.NewEngine(policies.Library())
		require.NoError(t, err)
		_, err = opa.New(opa.Options{Configuration: raw, Engine: engine, Log: logr.Discard(), Console: io.Discard})
		require.ErrorContains(t, err, says)
	}
}

func bundles(of map[string]any) map[string]any {
	return of["bundles"].(map[string]any)["acme"].(map[string]any)
}

// TestDecisionsAreMasked by the configuration and by a bundle, on their way to a server, a file and the console; they wait for the
// bundle, by which they may be masked.
func TestDecisionsAreMasked(t *testing.T) {
	t.Parallel()
	control := newServer(t)
	file := filepath.Join(t.TempDir(), "decisions.log")
	configuration := fetching(control.URL, nil)
	configuration["labels"] = map[string]any{"cluster": "blue"}
	configuration["mask"] = "package system.log\n\nmask contains \"/input/user\"\n"
	configuration["decision_logs"] = map[string]any{
		"service": "control", "console": true, "plugin": "file_logger", "reporting": map[string]any{"min_delay_seconds": 1, "max_delay_seconds": 1},
	}
	configuration["plugins"] = map[string]any{"file_logger": map[string]any{"path": file}}
	var console bytes.Buffer
	of := start(t, configuration, &console)
	input := map[string]any{"user": map[string]any{"name": "jane"}, "object": map[string]any{"spec": "s3cret"}, "kind": "ServiceEntry"}
	of.Decided(opa.Decision{ID: "uid-1", Time: time.Now(), Input: input, Result: map[string]any{"verdict": "denied"}})
	input["kind"] = "changed later"
	of.Wait(t.Context())
	assert.Empty(t, control.decisions())
	control.serve(packed(t, nil, "1", "package system.log\n\nmask contains {\"op\": \"upsert\", \"path\": \"/input/object/spec\", \"value\": \"**\"}\n"))
	eventually(t, func() bool { return len(control.decisions()) == 1 })
	of.stop()

	got := control.decisions()[0]
	assert.Equal(t, "uid-1", got["decision_id"])
	assert.Equal(t, "egress-governor/review", got["path"])
	assert.Equal(t, "blue", got["labels"].(map[string]any)["cluster"])
	assert.Equal(t, map[string]any{"object": map[string]any{"spec": "**"}, "kind": "ServiceEntry"}, got["input"])
	assert.Equal(t, map[string]any{"verdict": "denied"}, got["result"])
	assert.Equal(t, []any{"/input/user"}, got["erased"])
	assert.Equal(t, []any{"/input/object/spec"}, got["masked"])
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, text := range []string{string(written), console.String()} {
		assert.Contains(t, text, `"decision_id":"uid-1"`)
		assert.NotContains(t, text, "s3cret")
		assert.NotContains(t, text, "jane")
	}
	assert.Zero(t, of.metric(t, "egress_governor_decision_logs_dropped_total"))
}

// TestADiskThatIsFullCostsDecisionsAlone, which are counted: bundles come, policies judge, nobody waits, and the log is not flooded.
func TestADiskThatIsFullCostsDecisionsAlone(t *testing.T) {
	t.Parallel()
	control := newServer(t)
	control.serve(packed(t, nil, "1", denying("no")))
	configuration := fetching(control.URL, nil)
	configuration["decision_logs"] = map[string]any{"plugin": "file_logger"}
	configuration["plugins"] = map[string]any{"file_logger": map[string]any{"path": "/dev/full"}}
	var lines atomic.Int64
	of := startLogged(t, configuration, io.Discard, funcr.New(func(_, line string) {
		if strings.Contains(line, "Decision is not") {
			lines.Add(1)
		}
	}, funcr.Options{}))
	began := time.Now()
	for range 100 {
		of.Decided(opa.Decision{ID: "uid", Input: map[string]any{"text": "x"}, Result: map[string]any{}})
	}
	eventually(t, func() bool { return of.metric(t, "egress_governor_decision_logs_dropped_total") == 100 })
	assert.Positive(t, lines.Load())
	assert.LessOrEqual(t, lines.Load(), 1+int64(time.Since(began)/time.Minute))
	assert.InDelta(t, 0, of.metric(t, "egress_governor_bundle_failed"), 0)
	assert.Positive(t, of.metric(t, "egress_governor_bundle_activation_timestamp_seconds"))
}

// TestNobodyWaitsForDecisions that are not sent: they are dropped, and counted.
func TestNobodyWaitsForDecisions(t *testing.T) {
	t.Parallel()
	configuration := fetching("http://127.0.0.1:1", nil)
	configuration["decision_logs"] = map[string]any{"service": "control"}
	of := start(t, configuration, io.Discard)
	// The bundle never comes, and so nothing that waits is ever given on: whoever waited for room would wait for good.
	for range 1500 {
		of.Decided(opa.Decision{ID: "uid", Input: map[string]any{"text": "x"}, Result: map[string]any{}})
	}
	of.Decided(opa.Decision{ID: "large", Input: map[string]any{"text": strings.Repeat("x", 33<<20)}})
	assert.InDelta(t, 501, of.metric(t, "egress_governor_decision_logs_dropped_total"), 0)
}
