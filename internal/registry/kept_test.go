package registry_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// TestWhatANamespaceHasIsCounted, as objects come, change and go, but for the one that is asked about.
func TestWhatANamespaceHasIsCounted(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	routes := func(name, hosts string) {
		r.PutRoutes(object(t, "VirtualService", "a", name, "{hosts: ["+hosts+"], http: [{route: [{destination: {host: x.example.com}}, {destination: {host: web.a.svc.cluster.local}}]}]}", 0))
	}
	rule := func(name, settings string) {
		r.PutRule(r.ReadRule(object(t, "DestinationRule", "a", name, "{host: h.example.com, trafficPolicy: {"+settings+"}}", 0)).Rule)
	}
	counted := func() []int {
		return []int{r.LedBy("a", ""), r.LedBy("a", "one"), r.LedBy("b", ""), r.RuleValues("a", ""), r.RuleValues("a", "one"), r.RuleValues("b", "")}
	}
	routes("one", "h1.example.com, h2.example.com, web.a.svc.cluster.local")
	routes("two", "h1.example.com")
	rule("one", "tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 1}}]")
	rule("two", "tls: {mode: SIMPLE}")
	r.PutRule(r.ReadRule(object(t, "DestinationRule", "a", "mesh", "{host: web, trafficPolicy: {tls: {mode: SIMPLE}}}", 0)).Rule)
	assert.Equal(t, []int{5, 2, 0, 8, 2, 0}, counted(), "those within the mesh are not")
	routes("one", "h1.example.com")
	rule("one", "tls: {mode: SIMPLE}")
	assert.Equal(t, []int{4, 2, 0, 4, 2, 0}, counted())
	for _, name := range []string{"one", "two"} {
		r.DeleteRoutes("a", name)
		r.DeleteRule("a", name)
	}
	r.DeleteRule("a", "mesh")
	assert.Equal(t, make([]int, 6), counted())
}

// TestOfManyConditionsOursIsKept: a status is bounded by nobody, and ours is written again where it is not one of ours.
func TestOfManyConditionsOursIsKept(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	condition := func(kind, message string) any { return map[string]any{"type": kind, "message": message} }
	large := strings.Repeat("m", 1<<20)
	for name, tc := range map[string]struct {
		conditions []any
		want       []any
	}{
		"few":   {[]any{condition("Theirs", "m"), condition("ExitReady", "m")}, []any{condition("Theirs", "m"), condition("ExitReady", "m")}},
		"many":  {[]any{condition("Theirs", large), condition("ExitReady", "m")}, []any{condition("ExitReady", "m")}},
		"ours?": {[]any{condition("ExitReady", large)}, nil},
	} {
		entry := object(t, "ServiceEntry", "a", "e", sealed, 0)
		require.NoError(t, unstructured.SetNestedSlice(entry.Object, tc.conditions, "status", "conditions"))
		put(t, r, entry)
		assert.Equal(t, tc.want, r.Stored(types.NamespacedName{Namespace: "a", Name: "e"}).Conditions(), name)
	}
}

// TestSoManyGivenAddressesAreKept: istiod gives two a host.
func TestSoManyGivenAddressesAreKept(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	var given []any
	for i := range 600 {
		given = append(given, map[string]any{"value": fmt.Sprintf("240.240.%d.%d", i>>8, i&255)})
	}
	entry := object(t, "ServiceEntry", "a", "e", sealed, 0)
	require.NoError(t, unstructured.SetNestedSlice(entry.Object, given, "status", "addresses"))
	put(t, r, entry)
	known := 0
	for i := range 600 {
		known += len(r.GivenTo(netip.MustParseAddr(fmt.Sprintf("240.240.%d.%d", i>>8, i&255))))
	}
	assert.Equal(t, 512, known)
}

// TestNamespacesThatEntriesAreExportedToAreCounted, as entries come, change and go, but for the one that is asked about.
func TestNamespacesThatEntriesAreExportedToAreCounted(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	entry := func(name, exportTo string) {
		put(t, r, object(t, "ServiceEntry", "a", name, "{hosts: ["+name+".example.com], exportTo: ["+exportTo+"]}", 0))
	}
	counted := func() []int { return []int{r.ExportedBy("a", ""), r.ExportedBy("a", "one"), r.ExportedBy("b", "")} }
	assert.Equal(t, []int{0, 0, 0}, counted())
	entry("one", "b, c")
	entry("two", "b")
	assert.Equal(t, []int{3, 1, 0}, counted())
	entry("one", "b, c, d")
	assert.Equal(t, []int{4, 1, 0}, counted())
	r.DeleteEntry("a", "one")
	assert.Equal(t, []int{1, 1, 0}, counted())
}
