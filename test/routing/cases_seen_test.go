package routing

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/test/proof"
)

const (
	bareEntry = `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: app-a}, spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}`
	astray    = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: api, namespace: app-a}, spec: {hosts: [api.example.com], http: [{match: [{headers: {x: {exact: "1"}}}], route: [{destination: {host: other.example.com}}]}, {route: [{destination: {host: api.example.com}}]}]}}`
	redirect  = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: api, namespace: app-a}, spec: {hosts: [api.example.com], http: [{match: [{uri: {exact: /old}}], redirect: {uri: /new}}, {route: [{destination: {host: api.example.com}}]}]}}`
	ingress   = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: app-a}
spec: {selector: {istio: in}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [front.example.com]}]}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: in, namespace: app-a}, spec: {hosts: [front.example.com], gateways: [in], http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: api.example.com}}]}]}}`
	other = `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: other, namespace: app-a}, spec: {hosts: [other.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}`
)

// loaded returns the one case of some files.
func loaded(t *testing.T, files map[string]string) *proof.Case {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	all, err := proof.Load(folder)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

// TestCasesCanFail has wrong calls of right cases, and right calls of wrong ones, found out.
func TestCasesCanFail(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a call that leaves straight": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], before: [bare.yaml], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway}]}", "bare.yaml": bareEntry},
			"it must end Gateway, and ends Straight",
		},
		"a way of the call that leaves straight": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], before: [bare.yaml, route.yaml], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway}]}",
				"a.yaml": bareEntry, "bare.yaml": other, "route.yaml": astray},
			"it must end Gateway, and ends Straight",
		},
		"a call that is led to another host": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway, exit: [\"other.example.com:80\"]}]}", "a.yaml": bareEntry},
			"it must be led to [other.example.com:80], and is led to [api.example.com:80]",
		},
		"an exit that is not reached": {
			map[string]string{"case.yaml": "{title: t, transports: [MutualTLS], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway, exit: [\"api.example.com:80\", \"other.example.com:80\"]}]}", "a.yaml": bareEntry},
			"it must be led to all of",
		},
		"a call that is let through": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], calls: [{from: app-a, to: \"http://api.example.com\", ends: Blocked}]}", "a.yaml": bareEntry},
			"it must end Blocked, and ends Gateway",
		},
		"a caller that is let in past its sidecar": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], calls: [{from: app-b, dials: Gateway, to: \"http://api.example.com\", ends: Blocked}]}", "a.yaml": bareEntry},
			"it must end Blocked, and ends Gateway",
		},
		"a call of an ingress gateway that leaves straight": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], before: [bare.yaml, ingress.yaml], calls: [{from: ingress, ingress: {istio: in}, to: \"http://front.example.com\", ends: Gateway}]}", "bare.yaml": bareEntry, "ingress.yaml": ingress},
			"it must end Gateway, and ends Straight",
		},
		"a redirect that nobody spoke of": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway}]}", "a.yaml": bareEntry, "b.yaml": redirect},
			"it must end Gateway, and ends Blocked: the client's proxy answers by itself",
		},
		"a call that is not encrypted": {
			map[string]string{"case.yaml": "{title: t, transports: [Plain], calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway, encrypted: true}]}", "a.yaml": bareEntry},
			"encrypts it by itself must be true, and is false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			of := loaded(t, test.files)
			stored, err := of.Store(t.Context(), of.By()[0])
			require.NoError(t, err)
			var wrong string
			for _, each := range newSetting(t, of, stored).judge(t, of.Calls[0]) {
				wrong += each + "\n"
			}
			assert.Contains(t, wrong, test.want)
		})
	}
}

// TestWhatIsRefusedIsHeldAgainstTheCase either way.
func TestWhatIsRefusedIsHeldAgainstTheCase(t *testing.T) {
	const call = "calls: [{from: app-a, to: \"http://api.example.com\", ends: Gateway}]"
	for name, test := range map[string]struct{ refused, manifest, want string }{
		"refused though it must be stored":         {"", "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: app-a}, spec: {hosts: [\"*\"], ports: [{number: 80, name: http, protocol: HTTP}]}}", "ServiceEntry/app-a/a must be stored, and is refused"},
		"not warned of":                            {"warned: [{object: ServiceEntry/app-a/api, says: proxy}], ", bareEntry, "the author of ServiceEntry/app-a/api must be told \"proxy\""},
		"stored though it must be refused":         {"refused: [{object: ServiceEntry/app-a/api, code: bad-host}], ", bareEntry, "ServiceEntry/app-a/api is stored, and must be refused by bad-host"},
		"refused for another reason":               {"refused: [{object: ServiceEntry/app-a/api, code: host-conflict}], ", "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: app-a}, spec: {hosts: [\"*\"], ports: [{number: 80, name: http, protocol: HTTP}]}}", "is refused, but not by host-conflict"},
		"denied by what every cluster starts with": {"", "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a, namespace: app-a}, spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}}", "Sidecar/app-a/a must be stored, and is denied"},
	} {
		t.Run(name, func(t *testing.T) {
			of := loaded(t, map[string]string{"case.yaml": "{title: t, transports: [Plain], " + test.refused + call + "}", "a.yaml": test.manifest})
			_, err := of.Store(t.Context(), "Plain")
			assert.ErrorContains(t, err, test.want)
		})
	}
}
