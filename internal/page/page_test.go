package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/egress-governor/egress-governor/internal/overview"
)

var hostile = []string{
	`"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `</title></style></script><img src=x onerror=alert(1)>`, "`${alert(1)}`", "{{.Policies}}", "javascript:alert(1)", "<!--", "]]>", "\u202e", "a\nb", "\x00",
}

// of returns an overview in which every word is one of tenants'.
func of(words ...string) *overview.Overview {
	out := &overview.Overview{}
	for _, word := range words {
		out.Gateways = append(out.Gateways, overview.Gateway{Name: word, Service: word, Transport: word, Problems: []string{word}})
		out.Exits = append(out.Exits, overview.Exit{
			Host: word, Namespace: word, Entry: word, Gateway: word, Transport: word, Ends: overview.ByGateway, Clients: []string{word}, Accounts: []string{word},
			Ready: "False", Why: word, Policies: []string{word}, Findings: 1, Ports: []overview.Port{{Number: 443, Protocol: word}},
		})
		out.Policies = append(out.Policies, overview.Policy{Name: word, Enforcement: word, Library: word})
		out.Findings = append(out.Findings, overview.Finding{Kind: word, Namespace: word, Name: word, Effect: word, Policy: word, Code: word, Field: word, Message: word, Fix: word})
	}
	return out
}

func written(t *testing.T, of *overview.Overview) string {
	t.Helper()
	var out, again bytes.Buffer
	require.NoError(t, Write(&out, of, time.Unix(1e9, 0)))
	require.NoError(t, Write(&again, of, time.Unix(1e9, 0)))
	assert.Equal(t, out.String(), again.String(), "the same page of the same cluster")
	return out.String()
}

// shape is what a page consists of: its elements with the names of their attributes, and none of its words.
func shape(t *testing.T, text string) (out []string) {
	t.Helper()
	reader := html.NewTokenizer(strings.NewReader(text))
	for {
		switch reader.Next() {
		case html.ErrorToken:
			require.ErrorIs(t, reader.Err(), io.EOF)
			return out
		case html.StartTagToken, html.SelfClosingTagToken:
			token := reader.Token()
			line := token.Data
			for _, attribute := range token.Attr {
				line += " " + attribute.Key
				assert.False(t, strings.HasPrefix(attribute.Key, "on"), line)
				assert.NotContains(t, []string{"src", "action", "srcdoc", "formaction", "style"}, attribute.Key)
				if attribute.Key == "href" {
					assert.Equal(t, "#exits", attribute.Val)
				}
			}
			out = append(out, line)
		}
	}
}

// TestWordsOfTenantsAreText: a page with them has the elements of one without.
func TestWordsOfTenantsAreText(t *testing.T) {
	t.Parallel()
	for _, word := range hostile {
		assert.Equal(t, shape(t, written(t, of("plain"))), shape(t, written(t, of(word))), "%q", word)
	}
	assert.NotContains(t, written(t, of(hostile...)), "ZgotmplZ")
}

// TestThePageStandsAlone: it asks for nothing elsewhere, and its own policy lets it run what it brings.
func TestThePageStandsAlone(t *testing.T) {
	t.Parallel()
	text := written(t, of("plain"))
	assert.NotContains(t, strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), "://")
	node, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	policy, styles, scripts := "", []string{}, []string{}
	for at := range node.Descendants() {
		switch {
		case at.Data == "meta" && len(at.Attr) == 2 && at.Attr[0].Val == "Content-Security-Policy":
			policy = at.Attr[1].Val
		case at.Type == html.ElementNode && at.Data == "style":
			styles = append(styles, at.FirstChild.Data)
		case at.Type == html.ElementNode && at.Data == "script":
			scripts = append(scripts, at.FirstChild.Data)
		}
	}
	assert.Equal(t, []string{style}, styles)
	assert.Equal(t, []string{script}, scripts)
	assert.Equal(t, securityPolicy("'none'"), policy)
	assert.True(t, strings.HasPrefix(policy, "default-src 'none'; "))
	assert.NotContains(t, policy, "unsafe")
}

// TestOfManyExitsTheWorstAreDrawn, and all are in the table.
func TestOfManyExitsTheWorstAreDrawn(t *testing.T) {
	t.Parallel()
	many := &overview.Overview{}
	for i := range 2 * drawable {
		exit := overview.Exit{Host: fmt.Sprintf("h%d.example.com", i), Namespace: "shop", Entry: "e", Ends: overview.ByGateway, Gateway: "default", Clients: []string{"shop"}}
		if i >= 2*drawable-5 {
			exit.Suspended = true
		}
		many.Exits = append(many.Exits, exit)
	}
	text := written(t, many)
	assert.Equal(t, 2*drawable, strings.Count(text, `data-label="Host"`))
	assert.Equal(t, drawable, strings.Count(text, `class="node host`))
	assert.Equal(t, 5, strings.Count(text, `class="node host suspended"`))
	assert.Contains(t, text, fmt.Sprintf("%d exits that are in order are left out", drawable))
}

func answer(t *testing.T, s http.Handler, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8080/", nil)
	if change != nil {
		change(request)
	}
	out := httptest.NewRecorder()
	s.ServeHTTP(out, request)
	return out
}

// TestTheServer answers its own machine alone where it listens there, changes nothing, and says what changed.
func TestTheServer(t *testing.T) {
	t.Parallel()
	s, err := NewServer(of("one"), time.Unix(1e9, 0), true)
	require.NoError(t, err)
	whole := answer(t, s, nil)
	assert.Equal(t, http.StatusOK, whole.Code)
	assert.Equal(t, securityPolicy("'self'")+"; frame-ancestors 'none'", whole.Header().Get("Content-Security-Policy"))
	assert.Equal(t, "nosniff", whole.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, "no-store", whole.Header().Get("Cache-Control"))

	for host, status := range map[string]int{
		"localhost:8080": 200, "127.0.0.1": 200, "[::1]:8080": 200, "[::1]": 200, "evil.example.com": 421, "evil.example.com:8080": 421, "127.0.0.1.evil.example.com": 421, "": 421, "10.0.0.1:8080": 421,
	} {
		assert.Equal(t, status, answer(t, s, func(r *http.Request) { r.Host = host }).Code, host)
	}
	open, err := NewServer(of("one"), time.Unix(1e9, 0), false)
	require.NoError(t, err)
	assert.Equal(t, 200, answer(t, open, func(r *http.Request) { r.Host = "egress.corp.example.com" }).Code)
	assert.Equal(t, http.StatusMethodNotAllowed, answer(t, s, func(r *http.Request) { r.Method = http.MethodPost }).Code)
	assert.Equal(t, http.StatusNotFound, answer(t, s, func(r *http.Request) { r.URL.Path = "/../main" }).Code)

	main := func(tag string) *httptest.ResponseRecorder {
		return answer(t, s, func(r *http.Request) {
			r.URL.Path = "/main"
			r.Header.Set("If-None-Match", tag)
		})
	}
	tag := main("").Header().Get("ETag")
	require.NotEmpty(t, tag)
	assert.Equal(t, http.StatusNotModified, main(tag).Code)
	require.NoError(t, s.Set(of("one"), time.Unix(2e9, 0)))
	assert.Equal(t, http.StatusNotModified, main(tag).Code, "nothing changed but the moment")
	require.NoError(t, s.Set(of("two"), time.Unix(2e9, 0)))
	assert.Equal(t, http.StatusOK, main(tag).Code)
}

// TestWhatCannotBeReadIsTold, and what was read last stays.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	t.Parallel()
	s, err := NewServer(of("one"), time.Unix(1e9, 0), true)
	require.NoError(t, err)
	on, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	told, ended := make(chan error, 100), make(chan error, 1)
	reads := 0
	go func() {
		ended <- Serve(ctx, on, s, 10*time.Millisecond, func(context.Context) (*overview.Overview, error) {
			if reads++; reads > 1 {
				return nil, errors.New("the cluster is away")
			}
			return of("two"), nil
		}, func(err error) { told <- err })
	}()
	require.EqualError(t, <-told, "the cluster is away")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+on.Addr().String()+"/main", nil)
	require.NoError(t, err)
	got, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(got.Body)
	require.NoError(t, errors.Join(err, got.Body.Close()))
	assert.Contains(t, string(text), "two")
	stop()
	assert.NoError(t, <-ended)
}
