package hop_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

var update = flag.Bool("update", false, "write the golden files of today's format anew")

// today is the folder of the format that is written; the others are of earlier versions and never change.
const today = "v2"

func intentOf(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	read := hop.EntryIntent
	if object.GetKind() == "VirtualService" {
		read = hop.RouteIntent
	}
	out, err := read(object, mesh())
	require.NoError(t, err)
	return out
}

func rewrittenOf(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	gw := mesh().Gateways[0]
	if object.GetKind() == "VirtualService" {
		out, err := hop.Inject(object, gw, mesh(), cluster())
		require.NoError(t, err)
		return out
	}
	out, err := hop.Seal(object, gw, mesh())
	require.NoError(t, err)
	return out
}

// TestStoredAnnotationsStayReadable reads what each version stored, and holds what is stored today to its golden file.
func TestStoredAnnotationsStayReadable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/intent/v*/*.yaml")
	require.NoError(t, err)
	versions := map[string]int{}
	for _, file := range files {
		versions[filepath.Base(filepath.Dir(file))]++
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		documents := strings.Split(string(raw), "\n---\n")
		require.Len(t, documents, 2, file)
		stored, intent := object(t, documents[0]), object(t, documents[1])
		assert.Equal(t, intent.Object, intentOf(t, stored).Object, file)
		rewritten := rewrittenOf(t, stored)
		assert.Equal(t, intent.Object, intentOf(t, rewritten).Object, "%s, written anew", file)
		golden(t, filepath.Base(file), rewritten, intent)
	}
	require.Equal(t, versions["v1"], versions[today])
}

// golden holds an object to its file of today's format.
func golden(t *testing.T, name string, stored, intent *unstructured.Unstructured) {
	t.Helper()
	file := filepath.Join("testdata", "intent", today, name)
	var text strings.Builder
	for i, object := range []*unstructured.Unstructured{stored, intent} {
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		text.WriteString([]string{"# stored\n", "---\n# intent\n"}[i] + string(raw))
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test ./internal/hop -update writes it")
	assert.Equal(t, string(want), text.String(), file)
}

// A retired gateway is still known from the record, so that its entries can be sealed to another.
func TestSealOfARetiredGatewayIsUndone(t *testing.T) {
	t.Parallel()
	in := entry(t, `{hosts: [api.example.com],
		resolution: STATIC,
		endpoints: [{address: 192.0.2.1}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	sealed := rewrittenOf(t, in)
	moved := mesh()
	moved.Gateways[0].Service = "other-egress.istio-system.svc.cluster.local"
	intent, err := hop.EntryIntent(sealed, moved)
	require.NoError(t, err)
	assert.Equal(t, in.Object, intent.Object)
	v1, err := os.ReadFile("testdata/intent/v1/entry-static.yaml")
	require.NoError(t, err)
	stored, want, _ := strings.Cut(string(v1), "\n---\n")
	intent, err = hop.EntryIntent(object(t, stored), moved)
	require.NoError(t, err)
	assert.Equal(t, object(t, want).Object, intent.Object)
}

func TestAnnotationsThatDoNotDecodeAreRefused(t *testing.T) {
	t.Parallel()
	for name, annotation := range map[string]string{
		"not JSON":             `{`,
		"trailing garbage":     `[] and more`,
		"two values":           `{"gateway":"a"}{"gateway":"b"}`,
		"another type":         `"text"`,
		"a wrong field":        `{"resolution": 7}`,
		"a wrong list":         `[{"was": 1, "now": 2, "paths": "spec"}]`,
		"a number without end": `[{"was": 1e999, "now": 2, "paths": ["spec.endpoints"]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, in := range []*unstructured.Unstructured{
				entry(t, `{hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`),
				route(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`),
			} {
				in.SetAnnotations(map[string]string{hop.IntentAnnotation: annotation})
				read := hop.EntryIntent
				if in.GetKind() == "VirtualService" {
					read = hop.RouteIntent
				}
				_, err := read(in, mesh())
				var refusals hop.Refusals
				if name == "a wrong field" && in.GetKind() == "VirtualService" {
					require.Error(t, err)
					continue
				}
				require.ErrorAs(t, err, &refusals, in.GetKind())
				assert.Equal(t, "intent-annotation", refusals[0].Code)
				assert.Equal(t, "metadata.annotations[egress-governor.io/intent]", refusals[0].Field)
				assert.NotEmpty(t, refusals[0].Fix)
			}
		})
	}
}

// TestPatchesOfHalfASealedEntry: what stands of the seal is not the author's, whatever was changed beside it.
func TestPatchesOfHalfASealedEntry(t *testing.T) {
	t.Parallel()
	static := `{hosts: [a.example.com],
		resolution: STATIC,
		endpoints: [{address: 203.0.113.10}],
		ports: [{number: 8080, name: http, protocol: HTTP}]}`
	endpoints := func(spec map[string]any) []any { return spec["endpoints"].([]any) }
	for name, tc := range map[string]struct {
		patch func(spec map[string]any)
		want  string
	}{
		"a merge patch of the endpoints": {
			func(spec map[string]any) { spec["endpoints"] = []any{map[string]any{"address": "203.0.113.11"}} },
			`{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 203.0.113.11}],
				ports: [{number: 8080, name: http, protocol: HTTP}]}`,
		},
		"a JSON patch of an address": {
			func(spec map[string]any) { endpoints(spec)[0].(map[string]any)["address"] = "203.0.113.12" },
			`{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 203.0.113.12}],
				ports: [{number: 8080, name: http, protocol: HTTP}]}`,
		},
		"a JSON patch of an address and its port": {
			func(spec map[string]any) {
				endpoint := endpoints(spec)[0].(map[string]any)
				endpoint["address"], endpoint["ports"] = "203.0.113.12", map[string]any{"http": int64(9000)}
			},
			`{hosts: [a.example.com],
				resolution: STATIC,
				endpoints: [{address: 203.0.113.12, ports: {http: 9000}}],
				ports: [{number: 8080, name: http, protocol: HTTP}]}`,
		},
		"the resolution alone": {
			func(spec map[string]any) { spec["resolution"] = "DNS" },
			`{hosts: [a.example.com],
				resolution: DNS,
				endpoints: [{address: 203.0.113.10}],
				ports: [{number: 8080, name: http, protocol: HTTP}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored := rewrittenOf(t, entry(t, static))
			tc.patch(stored.Object["spec"].(map[string]any))
			assert.Equal(t, entry(t, tc.want).Object, intentOf(t, stored).Object)
		})
	}
}

// TestARecordReachesNothingButItsSlots: a forged one names other fields in vain.
func TestARecordReachesNothingButItsSlots(t *testing.T) {
	t.Parallel()
	in := entry(t, `{hosts: [api.example.com],
		location: MESH_EXTERNAL,
		resolution: DNS,
		subjectAltNames: [api.example.com],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	in.SetAnnotations(map[string]string{hop.IntentAnnotation: `[null,
		{"was": "MESH_INTERNAL", "now": "MESH_EXTERNAL", "paths": ["spec.location"]},
		{"was": ["evil.test"], "now": ["api.example.com"], "paths": ["spec.subjectAltNames"]}]`})
	parsed, err := egress.ParseServiceEntry(intentOf(t, in))
	require.NoError(t, err)
	assert.Equal(t, "MESH_EXTERNAL", parsed.Location)
	assert.Equal(t, []string{"api.example.com"}, parsed.SubjectAltNames)
}
