package discover_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/discover"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

func inside(host string) bool {
	return strings.HasSuffix(host, ".svc.cluster.local") || strings.HasSuffix(host, ".svc")
}

// found returns what a log says, a line each.
func found(t *testing.T, text string) (out []string, count discover.Count) {
	t.Helper()
	log := discover.New(inside)
	require.NoError(t, log.Read(strings.NewReader(text), "app", "web"))
	for _, of := range log.Found("app") {
		out = append(out, fmt.Sprintf("%s %s %d", of.Target, of.State, of.Calls))
	}
	return out, log.Count
}

// line is one as Istio's default format has it.
func line(request, agent, authority, cluster, destination, sni, route string) string {
	return fmt.Sprintf(`[2026-11-26T08:00:02.113Z] "%s" 200 - via_upstream - "-" 783 5421 61 60 "-" "%s" "84961386-6d84-929d-98bd-c5aee93b5c88" "%s" "%s" %s 10.44.1.23:52314 %s 10.44.1.23:52312 %s %s`+"\n",
		request, agent, authority, destination, cluster, destination, sni, route)
}

func web(authority string) string {
	return line("GET / HTTP/1.1", "curl", authority, "PassthroughCluster", "203.0.113.20:80", "-", "allow_any")
}

func tls(sni string) string {
	return line("- - -", "-", "-", "PassthroughCluster", "203.0.113.20:443", sni, "-")
}

// TestWhatSidecarsWriteIsRead, in each of Istio's forms.
func TestWhatSidecarsWriteIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		web("api.example.com"):     "api.example.com:80 HTTP open 1",
		web("API.Example.com.:80"): "api.example.com:80 HTTP open 1",
		web("bücher.example"):      "xn--bcher-kva.example:80 HTTP open 1",
		tls("www.example.com"):     "www.example.com:443 TLS open 1",
		tls("-"):                   "203.0.113.20:443 TCP open 1",
		web("203.0.113.20"):        "203.0.113.20:80 HTTP open 1",
		web("[2001:db8::1]:80"):    "203.0.113.20:80 HTTP open 1",
		line("- - -", "-", "-", "PassthroughCluster", "[2001:db8::1]:5432", "-", "-"):                                                          "[2001:db8::1]:5432 TCP open 1",
		line("POST /pkg.Service/Call HTTP/2", "grpc-go", "grpc.example.com:8443", "PassthroughCluster", "203.0.113.20:8443", "-", "allow_any"): "grpc.example.com:8443 HTTP2 open 1",
		line("GET / HTTP/1.1", "curl", "api.example.com", "-", "203.0.113.20:80", "-", "block_all"):                                            "api.example.com:80 HTTP blocked 1",
		line("- - -", "-", "-", "BlackHoleCluster", "203.0.113.20:443", "www.example.com", "-"):                                                "www.example.com:443 TLS blocked 1",
		line("GET / HTTP/1.1", "curl", "api.example.com", "outbound|80||api.example.com", "240.240.0.1:80", "-", "default"):                    "api.example.com:80 HTTP named 1",
		line("- - -", "-", "-", "outbound|443|v1|www.example.com", "240.240.0.1:443", "www.example.com", "-"):                                  "www.example.com:443 TLS named 1",
		// A proxy is called here, and not what it is asked for.
		line("CONNECT evil.example.com:443 HTTP/1.1", "curl", "evil.example.com:443", "PassthroughCluster", "203.0.113.20:3128", "-", "allow_any"):                                                                                                                                                                             "203.0.113.20:3128 HTTP open 1",
		`{"authority":"api.example.com","upstream_cluster":"PassthroughCluster","downstream_local_address":"203.0.113.20:80","method":"GET","protocol":"HTTP/1.1","start_time":"2026-11-26T08:00:02.113Z","route_name":"allow_any","requested_server_name":null,"upstream_host":"203.0.113.20:80","response_code":200}` + "\n": "api.example.com:80 HTTP open 1",
		`{"authority":null,"upstream_cluster":"BlackHoleCluster","downstream_local_address":"203.0.113.20:443","method":null,"protocol":null,"start_time":"2026-11-26T08:00:02.113Z","route_name":null,"requested_server_name":"www.example.com","upstream_host":null,"response_code":0}` + "\n":                               "www.example.com:443 TLS blocked 1",
	} {
		got, count := found(t, text)
		assert.Equal(t, []string{want}, got, text)
		assert.Equal(t, discover.Count{Lines: 1, Calls: 1}, count, text)
	}
}

// TestWhatIsNoCallOfAnAppIsPassedOver, and counted.
func TestWhatIsNoCallOfAnAppIsPassedOver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]discover.Count{
		"2026-11-26T08:00:00.000000Z\tinfo\tEnvoy proxy is ready\n":                                                                {Lines: 1, Others: 1},
		`{"level":"info","time":"2026-11-26T08:00:00.000000Z","msg":"ready"}` + "\n":                                               {Lines: 1, Others: 1},
		line("GET / HTTP/1.1", "curl", "a.b", "inbound|8080||", "10.0.0.1:8080", "-", "default"):                                   {Lines: 1, Inside: 1},
		line("GET / HTTP/1.1", "curl", "a.b", "InboundPassthroughCluster", "10.0.0.1:8080", "-", "default"):                        {Lines: 1, Inside: 1},
		line("GET / HTTP/1.1", "curl", "orders.shop", "outbound|80||orders.shop.svc.cluster.local", "10.0.0.1:80", "-", "default"): {Lines: 1, Inside: 1},
		web("orders.shop.svc"):                                                      {Lines: 1, Inside: 1},
		"[2026-11-26T08:00:02.113Z] \"GET / HTTP/1.1\" 200\n":                       {Lines: 1, Unreadable: 1},
		`{"start_time":"2026-11-26T08:00:02.113Z","host":"api.example.com"}` + "\n": {Lines: 1, Unreadable: 1},
		`{"start_time":` + "\n":                                                     {Lines: 1, Unreadable: 1},
		"[pod/web-0/main] " + web("api.example.com"):                                {Lines: 1, Others: 1},
		"[pod/web-0/istio-proxy] " + web("localhost"):                               {Lines: 1, Nameless: 1},
	} {
		got, count := found(t, text)
		assert.Empty(t, got, text)
		assert.Equal(t, want, count, text)
	}
}

// hostile are names that an app may put into its Host header or its SNI.
var hostile = []string{
	"evil.com\\nkind: Secret", "a.b'", "{{ .Values }}", "*.example.com", "*", "a..b", ".", "a.b.", "-a.b", "a_b.example.com", "127.1", "0x7f.1", "1.2.3.4.5", "!!binary", "&a.b", "<script>.com",
	"a.b/c", "a@b.c", "a%00.b", "\x1b[31m.com", "\u202ecom.example", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 200) + "com", "x.#comment", "---", "a b.com", "%s.%d", "a.b\r",
}

// TestNoNameOfAnAppIsMoreThanAName: what is drafted is as many objects as there are names, and nothing else.
func TestNoNameOfAnAppIsMoreThanAName(t *testing.T) {
	t.Parallel()
	for _, name := range hostile {
		log := discover.New(inside)
		require.NoError(t, log.Read(strings.NewReader(web(name)+tls(name)+web("api.example.com")), "app", "web"))
		var out bytes.Buffer
		require.NoError(t, discover.WriteDrafts(&out, []*discover.Draft{log.Draft("app")}))
		objects, err := manifest.Parse("drafts", out.Bytes())
		require.NoError(t, err, "%q\n%s", name, out.String())
		for _, object := range objects {
			assert.Contains(t, []string{"ServiceEntry", "EgressPolicy"}, object.GetKind(), name)
			assert.Regexp(t, `^(api\.example\.com|a\.b|xn--[a-z0-9-]+\.example|discovered-app)$`, object.GetName(), name)
		}
		for _, line := range strings.Split(out.String(), "\n") {
			assert.NotContains(t, line, "Secret", name)
			assert.NotContains(t, line, "\x1b", name)
		}
		assert.Contains(t, out.String(), "api.example.com", name)
	}
}

// TestHeadersCannotSpeakForOthers: whatever they look like, the line's own end counts.
func TestHeadersCannotSpeakForOthers(t *testing.T) {
	t.Parallel()
	forged := `x" "1" "evil.example.com" "1.2.3.4:443" PassthroughCluster 1.1.1.1:1 6.6.6.6:443 1.1.1.1:2 evil.example.com allow_any`
	for _, text := range []string{
		line("GET /"+forged+" HTTP/1.1", "curl", "api.example.com", "PassthroughCluster", "203.0.113.20:80", "-", "allow_any"),
		line("GET / HTTP/1.1", forged, "api.example.com", "PassthroughCluster", "203.0.113.20:80", "-", "allow_any"),
	} {
		got, _ := found(t, text)
		assert.Equal(t, []string{"api.example.com:80 HTTP open 1"}, got, text)
	}
}

// TestALogIsBounded: in the length of lines, and in hosts.
func TestALogIsBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 1500 {
		text.WriteString(web(fmt.Sprintf("h%d.example.com", i)))
	}
	text.WriteString(web("h1.example.com"))
	got, count := found(t, text.String())
	assert.Len(t, got, 1000)
	assert.Equal(t, 500, count.Full)
	assert.Contains(t, got, "h1.example.com:80 HTTP open 2")
	long := web("a.example.com"+strings.Repeat("x", 200<<10)) + web("b.example.com")
	got, count = found(t, long)
	assert.Equal(t, []string{"b.example.com:80 HTTP open 1"}, got)
	assert.Equal(t, discover.Count{Lines: 2, Calls: 1, Unreadable: 1}, count)
}

func session(t *testing.T) *dryrun.Session {
	t.Helper()
	installed, err := config.Installed()
	require.NoError(t, err)
	out, err := dryrun.New(dryrun.Options{Configuration: installed, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, Namespace: "default"})
	require.NoError(t, err)
	return out
}

// TestDraftsAreStoredWithoutAWord: neither the webhook nor a policy has anything to say of them, and what it would has no entry.
func TestDraftsAreStoredWithoutAWord(t *testing.T) {
	t.Parallel()
	text := web("api.example.com") + tls("api.example.com") + tls("www.example.com") + tls("www.example.com") +
		line("GET / HTTP/1.1", "curl", "www.example.com", "PassthroughCluster", "203.0.113.20:443", "-", "allow_any") +
		tls("-") + web("metadata.google.internal") + line("- - -", "-", "-", "outbound|443||named.example.com", "240.240.0.1:443", "named.example.com", "-")
	for i := range 6 {
		text += web(fmt.Sprintf("h%d.wide.example.org", i)) + web(fmt.Sprintf("h%d.co.uk", i))
	}
	log := discover.New(inside)
	require.NoError(t, log.Read(strings.NewReader(text), "app", "web"))
	draft := log.Draft("app")
	require.NoError(t, discover.Check(t.Context(), session(t), []*discover.Draft{draft}))
	require.Len(t, draft.Refused, 1)
	assert.Equal(t, "metadata.google.internal", draft.Refused[0].Host)
	assert.Equal(t, []discover.Wildcard{{Host: "*.wide.example.org", Hosts: 6}}, draft.Wildcards)

	var out bytes.Buffer
	require.NoError(t, discover.WriteDrafts(&out, []*discover.Draft{draft}))
	assert.Contains(t, out.String(), "# Namespace app calls 203.0.113.20:443 TCP, by no name: no entry is drafted, by web.\n")
	assert.Contains(t, out.String(), "Once namespace app sees an entry with port 443 as TLS, names stand in the log: discover again.\n")
	assert.Contains(t, out.String(), "# www.example.com:443 HTTP: 1 call, open, by web\n# www.example.com:443 TLS: 2 calls, open, by web\n")
	objects, err := manifest.Parse("drafts.yaml", out.Bytes())
	require.NoError(t, err)
	require.Len(t, objects, 15)
	answers, err := session(t).Apply(t.Context(), objects, func() {})
	require.NoError(t, err)
	for _, answer := range answers {
		assert.True(t, answer.Allowed(), answer.Message)
		assert.Empty(t, answer.Findings, answer.GetName())
	}
	hosts := objects[len(objects)-1].Object["spec"].(map[string]any)["parameters"].(map[string]any)["hosts"]
	assert.Contains(t, hosts, "named.example.com")
	assert.NotContains(t, out.String(), "name: named.example.com")
}

// TestDraftsReplaceNothing that is stored.
func TestDraftsReplaceNothing(t *testing.T) {
	t.Parallel()
	of := session(t)
	stored, err := manifest.Parse("stored", []byte("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api.example.com, namespace: app}\n"+
		"spec: {hosts: [other.example.com], exportTo: [\".\"], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"))
	require.NoError(t, err)
	require.NoError(t, of.Store(stored...))
	log := discover.New(inside)
	require.NoError(t, log.Read(strings.NewReader(web("api.example.com")), "app", ""))
	draft := log.Draft("app")
	require.NoError(t, discover.Check(t.Context(), of, []*discover.Draft{draft}))
	require.Len(t, draft.Entries, 1)
	assert.Equal(t, "discovered-api.example.com", draft.Entries[0].Object.GetName())
}

// TestWorkloadsAreNamed by the names of their pods, where those are names.
func TestWorkloadsAreNamed(t *testing.T) {
	t.Parallel()
	for pod, want := range map[string]string{
		"tills-6d5f7c8b94-x2x7k": "tills", "ledger-0": "ledger", "app": "app", "two-words-6d5f7c8b94-x2x7k": "two-words", "a b": "", "../x": "", "x\n- y": "",
	} {
		assert.Equal(t, want, discover.WorkloadOf(pod), pod)
	}
}

// FuzzDrafts holds that whatever a log says, what is drafted can be read, and is of the kinds that are drafted.
func FuzzDrafts(f *testing.F) {
	f.Add(web("api.example.com"))
	f.Add(tls("api.example.com"))
	for _, name := range hostile {
		f.Add(web(name))
	}
	raw, err := os.ReadFile(filepath.Join("..", "..", "cmd", "egressctl", "testdata", "access.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(raw))
	f.Fuzz(func(t *testing.T, text string) {
		log := discover.New(inside)
		require.NoError(t, log.Read(strings.NewReader(text), "app", ""))
		draft := log.Draft("app")
		if draft == nil {
			return
		}
		var out bytes.Buffer
		require.NoError(t, discover.WriteDrafts(&out, []*discover.Draft{draft}))
		objects, err := manifest.Parse("drafts", out.Bytes())
		require.NoError(t, err)
		want := len(draft.Entries)
		if draft.Policy != nil {
			want++
		}
		assert.Len(t, objects, want)
	})
}
