// Package browser looks at the page of egressctl report in a headless browser: that it works there, by keyboard, on a phone and in the
// dark, and that what tenants wrote stays text. It needs a Chromium: make report-test.
package browser

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/overview"
	html "github.com/egress-governor/egress-governor/internal/page"
)

// hostile is what a tenant who means harm would have as a name, or a policy quote of one.
const hostile = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script><svg onload=alert(1)>`

func sample() *overview.Overview {
	exit := func(namespace, host string, change func(*overview.Exit)) overview.Exit {
		out := overview.Exit{
			Host: host, Namespace: namespace, Entry: strings.SplitN(host, ".", 2)[0], Ends: overview.ByGateway, Gateway: "default", Transport: "MutualTLS",
			Clients: []string{namespace}, Ports: []overview.Port{{Number: 443, Protocol: "TLS"}}, Ready: "True", Why: "ExitConfigured: the exit of every host", Policies: []string{"payments-hosts"},
		}
		if change != nil {
			change(&out)
		}
		return out
	}
	return &overview.Overview{
		Gateways:   []overview.Gateway{{Name: "default", Service: "istio-egressgateway.istio-system.svc.cluster.local", Transport: "MutualTLS"}},
		Namespaces: []overview.Namespace{{Name: "payments", Gateway: "default"}, {Name: "shop", Gateway: "default"}},
		Exits: []overview.Exit{
			exit("payments", "api.stripe.com", nil),
			exit("payments", "ledger.partner.example", func(e *overview.Exit) {
				e.Suspended, e.Ready, e.Findings, e.Clients = true, "False", 1, []string{"payments", "shop"}
				e.Why = `payments-hosts: spec.hosts[0]: host "ledger.partner.example" is not allowed in namespace "payments" (allowed-hosts).`
			}),
			exit("shop", "a-host-with-a-very-long-name-that-no-phone-has-room-for.and-labels-that-go-on.example.com", func(e *overview.Exit) { e.Ready = "False" }),
			exit("legacy", "mirror.example.org", func(e *overview.Exit) { e.Ends, e.Gateway, e.Everybody, e.Clients = overview.Straight, "", true, nil }),
			exit("evil", hostile, func(e *overview.Exit) { e.Findings, e.Why = 1, hostile }),
		},
		Policies: []overview.Policy{{Name: "payments-hosts", Enforcement: "Deny", Library: "allowed-hosts", Findings: 1}},
		Findings: []overview.Finding{{Kind: "ServiceEntry", Namespace: "payments", Name: "ledger", Effect: "denied", Policy: "payments-hosts", Code: "host-not-allowed", Field: "spec.hosts[0]", Message: `host "ledger.partner.example" is not allowed`, Fix: hostile}},
	}
}

// tab is one of a browser, and what went wrong in it.
type tab struct {
	context.Context
	t     *testing.T
	mu    sync.Mutex
	wrong []string
	asked []string
}

// open starts a browser. That none is there is a failure: whoever runs this asks for one.
func open(t *testing.T, width, height int64, scheme string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	out := &tab{Context: ctx, t: t}
	chromedp.ListenTarget(ctx, func(event any) {
		out.mu.Lock()
		defer out.mu.Unlock()
		switch of := event.(type) {
		case *runtime.EventExceptionThrown:
			out.wrong = append(out.wrong, of.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if of.Entry.Level == log.LevelError && !strings.HasSuffix(of.Entry.URL, "/favicon.ico") {
				out.wrong = append(out.wrong, of.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			out.wrong = append(out.wrong, "a dialog: "+of.Message)
		case *network.EventRequestWillBeSent:
			out.asked = append(out.asked, of.Request.URL)
		}
	})
	require.NoError(t, chromedp.Run(ctx, network.Enable(), log.Enable(), emulation.SetDeviceMetricsOverride(width, height, 2, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})), "a headless Chromium is needed")
	return out
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Run(b.Context, actions...))
}

// run runs a script in a scope of its own.
func run(script string) chromedp.Action { return chromedp.Evaluate("(() => {"+script+"})()", nil) }

// is evaluates an expression until it is what is wanted.
func (b *tab) is(want any, expression string) {
	b.t.Helper()
	var got any
	assert.Eventually(b.t, func() bool {
		return chromedp.Run(b.Context, chromedp.Evaluate(expression, &got)) == nil && fmt.Sprint(got) == fmt.Sprint(want)
	}, 10*time.Second, 50*time.Millisecond, "%s is to be %v", expression, want)
	if b.t.Failed() {
		b.t.Logf("%s is %v", expression, got)
	}
}

// clean says that nothing went wrong, and that nobody but the page's own place was asked.
func (b *tab) clean(from string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(b.t, b.wrong)
	assert.NotEmpty(b.t, b.asked)
	for _, url := range b.asked {
		assert.True(b.t, strings.HasPrefix(url, from), url)
	}
}

// picture keeps what is seen, for people.
func (b *tab) picture(name string) {
	b.t.Helper()
	var raw []byte
	b.do(chromedp.FullScreenshot(&raw, 100))
	folder := filepath.Join("..", "..", ".run", "report")
	require.NoError(b.t, os.MkdirAll(folder, 0o750))
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), raw, 0o600))
}

func served(t *testing.T) (*html.Server, string) {
	t.Helper()
	server, err := html.NewServer(sample(), time.Unix(1e9, 0), true)
	require.NoError(t, err)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return server, listening.URL
}

const rows = `document.querySelectorAll("#exits tbody tr:not([hidden])").length`

func TestSearchFiltersAndKeyboard(t *testing.T) {
	_, url := served(t)
	b := open(t, 1280, 900, "light")
	b.do(chromedp.Navigate(url), chromedp.WaitReady("#exits"))
	b.is(5, rows)
	b.is("5 of 5 exits", `document.getElementById("shown").textContent`)
	b.picture("wide-light")

	// As a keyboard does: what is kept from going on types nothing.
	b.do(input.DispatchKeyEvent(input.KeyDown).WithKey("/").WithText("/"), input.DispatchKeyEvent(input.KeyUp).WithKey("/"))
	b.is("q", `document.activeElement.id`)
	b.do(chromedp.KeyEvent("stripe TLS"))
	b.is("stripe TLS", `document.getElementById("q").value`)
	b.is(1, rows)
	b.is(true, `document.querySelectorAll(".node.dim").length > 0`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.is(5, rows)

	b.do(run(`const of = document.getElementById("state"); of.value = "suspended"; of.dispatchEvent(new Event("input", {bubbles: true}))`))
	b.is(1, rows)
	b.do(run(`document.querySelector("button[type=reset]").click()`))
	b.is(5, rows)
	b.do(run(`const of = document.getElementById("namespace"); of.value = "shop"; of.dispatchEvent(new Event("input", {bubbles: true}))`))
	b.is(2, rows) // its own, and what is exported to it by name
	b.do(run(`document.querySelector("button[type=reset]").click()`))

	// By keyboard alone: to a box of the picture, which searches for it.
	b.do(run(`document.querySelector(".picture").focus()`))
	for range 20 {
		var name string
		b.do(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.querySelector ? (document.activeElement.querySelector("title") || {textContent: ""}).textContent : ""`, &name))
		if strings.HasPrefix(name, "api.stripe.com") {
			break
		}
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.is("api.stripe.com", `document.getElementById("q").value`)
	b.is(1, rows)
	b.clean(url)
}

func TestWhatTenantsWroteIsText(t *testing.T) {
	_, url := served(t)
	file := filepath.Join(t.TempDir(), "page.html")
	written, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, html.Write(written, sample(), time.Unix(1e9, 0)))
	require.NoError(t, written.Close())
	for _, from := range []string{url, "file://" + file} {
		b := open(t, 1280, 900, "light")
		b.do(chromedp.Navigate(from), chromedp.WaitReady("#exits"))
		b.is(5, rows)
		b.is(1, `document.scripts.length`)
		b.is(0, `document.querySelectorAll("img, iframe, [onload], [onerror], [onclick]").length`)
		b.is(1, `document.querySelectorAll("svg").length`)
		b.is(true, `document.querySelector("#exits").textContent.includes("<script>document.title='owned'")`)
		// A box with such a name is chosen, and looked for as text.
		b.do(run(`Array.from(document.querySelectorAll(".node")).find((node) => node.textContent.includes("<img")).dispatchEvent(new MouseEvent("click", {bubbles: true}))`))
		b.is(1, rows)
		b.is("Egress: who leaves the mesh, and where", `document.title`)
		b.clean(from)
	}
	// Whatever gets in all the same is not run.
	b := open(t, 1280, 900, "light")
	b.do(chromedp.Navigate(url), run(`document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\"document.title='owned'\">"); const s = document.createElement("script"); s.textContent = "document.title='owned'"; document.body.append(s)`))
	b.is("Egress: who leaves the mesh, and where", `document.title`)
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Contains(t, strings.Join(b.wrong, "\n"), "Content Security Policy")
}

func TestThePageStaysCurrent(t *testing.T) {
	server, url := served(t)
	b := open(t, 1280, 900, "light")
	b.do(chromedp.Navigate(url), chromedp.WaitReady("#exits"), run(`document.getElementById("q").focus()`), chromedp.KeyEvent("stripe"))
	b.is(1, rows)
	next := sample()
	next.Exits = append(next.Exits, overview.Exit{Host: "js.stripe.com", Namespace: "payments", Entry: "js", Ends: overview.ByGateway, Gateway: "default", Clients: []string{"payments"}})
	require.NoError(t, server.Set(next, time.Unix(1e9+60, 0)))
	b.is(2, rows)
	b.is("stripe", `document.getElementById("q").value`)
	b.is("2001-09-09T01:47:40Z", `document.querySelector("#age time").textContent`)
	b.is("q", `document.activeElement.id`)
	b.clean(url)
}

// worst is the lowest contrast of any text to what is behind it, and the text.
const worst = `(() => {
  const parse = (of) => (of.match(/[\d.]+/g) || []).map(Number);
  const shade = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (let at = node; at; at = at.parentElement) { if (at.closest("svg") && at.tagName !== "svg") { const rect = at.closest(".node") && at.closest(".node").querySelector("rect"); if (rect) return parse(getComputedStyle(rect).fill); continue; } const c = parse(getComputedStyle(at).backgroundColor); if (c.length && c[3] !== 0) return c; } return [255, 255, 255]; };
  let low = [99, ""];
  for (const node of document.querySelectorAll("body *")) {
    const own = Array.from(node.childNodes).some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || ["SCRIPT", "STYLE", "TITLE", "title", "OPTION"].includes(node.tagName)) continue;
    const style = getComputedStyle(node), ink = parse(node.closest("svg") ? style.fill : style.color), paper = behind(node);
    const [a, b] = [shade(ink), shade(paper)].sort((x, y) => y - x), contrast = (a + 0.05) / (b + 0.05);
    if (contrast < low[0]) low = [contrast, node.textContent.trim().slice(0, 40)];
  }
  return low[0] >= 4.5 ? "readable" : low.join(" ");
})()`

// TestItIsReadable on a phone and on a desk, by day and by night.
func TestItIsReadable(t *testing.T) {
	_, url := served(t)
	for _, scheme := range []string{"light", "dark"} {
		for name, width := range map[string]int64{"phone": 390, "desk": 1280} {
			b := open(t, width, 844, scheme)
			b.do(chromedp.Navigate(url), chromedp.WaitReady("#exits"))
			b.is("readable", worst)
			b.is(true, `document.documentElement.scrollWidth <= window.innerWidth`)
			b.is(scheme == "dark", `getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).every((v) => v < 64)`)
			b.is(0, `Array.from(document.querySelectorAll("button, input, select")).filter((of) => of.getBoundingClientRect().height < 44).length`)
			b.is(0, `Array.from(document.querySelectorAll("main th, main td, main p")).filter((of) => of.checkVisibility() && parseFloat(getComputedStyle(of).fontSize) < 12).length`)
			b.picture(name + "-" + scheme)
			b.clean(url)
		}
	}
}
