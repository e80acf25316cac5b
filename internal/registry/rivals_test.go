package registry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestRivalsAreThoseThatANamespaceMaySee: its own, and what others export; what is gone, or for other hosts now, is none.
func TestRivalsAreThoseThatANamespaceMaySee(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.Mesh())
	const to = `http: [{route: [{destination: {host: api.example.com}}]}]}`
	for name, spec := range map[string]string{
		"own": `{hosts: [API.example.com.], exportTo: ["."], ` + to, "by-name": `{hosts: [api.example.com], exportTo: [a], ` + to,
		"exported": `{hosts: [api.example.com], exportTo: [a, b], ` + to, "all": `{hosts: [api.example.com], ` + to,
		"gateways": `{hosts: [api.example.com], gateways: [x], ` + to, "delegate": `{` + to, "others": `{hosts: ["*.example.com", api], ` + to,
	} {
		put(t, r, object(t, "VirtualService", "a", name, spec, time.Second))
	}
	ours := object(t, "VirtualService", "a", "ours", `{hosts: [api.example.com], `+to, 0)
	ours.SetLabels(map[string]string{hop.ManagedByLabel: hop.Manager})
	ours.SetAnnotations(map[string]string{hop.HostAnnotation: "api.example.com"})
	put(t, r, ours)
	rivals := func(namespace, host string) (out []string) {
		for _, rival := range r.Rivals(namespace, host) {
			assert.Equal(t, time.Unix(1001, 0), rival.Created)
			out = append(out, rival.Name)
		}
		slices.Sort(out)
		return out
	}
	assert.Equal(t, []string{"all", "by-name", "exported", "own"}, rivals("a", "api.example.com"))
	assert.Equal(t, []string{"all", "exported"}, rivals("b", "api.example.com"))
	assert.Equal(t, []string{"others"}, rivals("a", "*.example.com"))
	assert.Empty(t, rivals("a", "api.a.svc.cluster.local"), "Services are the mesh's own")

	put(t, r, object(t, "VirtualService", "a", "all", `{hosts: [api.example.com], exportTo: ["~"], `+to, time.Second))
	put(t, r, object(t, "VirtualService", "a", "own", `{hosts: [other.example.com], `+to, time.Second))
	r.DeleteRoutes("a", "by-name")
	assert.Equal(t, []string{"all", "exported"}, rivals("a", "api.example.com"))
	assert.Equal(t, []string{"exported"}, rivals("b", "api.example.com"))
	assert.Equal(t, []string{"own"}, rivals("b", "other.example.com"))
	for _, name := range []string{"all", "own", "exported", "others"} {
		r.DeleteRoutes("a", name)
	}
	assert.Empty(t, rivals("a", "api.example.com"))
}
