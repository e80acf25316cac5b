package routing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// named is a ServiceEntry of one host; its endpoint is named after its namespace.
type named struct {
	namespace string
	exportTo  []string
}

// manifest is the entry, created at a second of a minute.
func (n named) manifest(second int) string {
	return fmt.Sprintf(`
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: shared
  namespace: %s
  creationTimestamp: "2026-01-01T00:00:%02dZ"
spec:
  hosts: [shared.example.com]
  exportTo: ["%s"]
  resolution: DNS
  endpoints: [{address: %[1]s.example.com}]
  ports: [{number: 80, name: http, protocol: HTTP}]
`, n.namespace, second, strings.Join(n.exportTo, `", "`))
}

// TestServingIsIstiosChoice has the cases of internal/egress's test of the same name: the order in which Istio takes
// one of several entries of a host is what egress.Serving repeats.
func TestServingIsIstiosChoice(t *testing.T) {
	everybody, own := []string{"*"}, []string{"."}
	for name, tc := range map[string]struct {
		oldestFirst []named
		want        string
	}{
		"the oldest":                      {[]named{{"b", everybody}, {"a", everybody}}, "b"},
		"one's own before it":             {[]named{{"a", everybody}, {"client", everybody}}, "client"},
		"one's own, private, before it":   {[]named{{"a", everybody}, {"client", own}}, "client"},
		"one that is exported by name":    {[]named{{"a", everybody}, {"b", []string{"client"}}}, "b"},
		"the oldest of those":             {[]named{{"b", []string{"client", "other"}}, {"a", []string{"client"}}}, "b"},
		"one's own before those":          {[]named{{"b", []string{"client"}}, {"client", everybody}}, "client"},
		"no other's private one":          {[]named{{"a", own}, {"b", everybody}}, "b"},
		"none that is exported to no one": {[]named{{"client", []string{"~"}}, {"b", everybody}}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var manifests strings.Builder
			// Written youngest first, so that the order of writing is not what decides.
			for i := len(tc.oldestFirst) - 1; i >= 0; i-- {
				manifests.WriteString(tc.oldestFirst[i].manifest(i))
			}
			sidecar := newMesh(t, manifests.String()).sidecar(t, "client")
			assert.Equal(t, []string{tc.want + ".example.com:80"}, addresses(sidecar, "outbound|80||shared.example.com"))
		})
	}
}
