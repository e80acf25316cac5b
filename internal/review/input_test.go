package review

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

var update = flag.Bool("update", false, "write the examples of policy inputs anew")

const library = "../../policies"

// TestInputsAreThoseOfTheDocuments holds the real input of an object against its schema and against the example that
// policies/testdata shows to authors of policies: the author's own words, whatever is stored.
func TestInputsAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(library, "schemas", "input.json"))
	require.NoError(t, err)
	mesh := egresstest.Mesh()
	for name, manifest := range map[string]string{
		"serviceentry": `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: x, namespace: payments}
spec:
  hosts: [api.example.com]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
`,
		"virtualservice": `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x, namespace: payments}
spec:
  hosts: [api.example.com]
  http:
  - route:
    - {destination: {host: reviews, port: {number: 80}}, weight: 90}
    - {destination: {host: ` + egresstest.GatewayService + `, port: {number: 80}}, weight: 10}
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := &policies{}
			r := &Reviewer{Mesh: mesh, View: registry.New(mesh), Policies: asked}
			req := create(object(t, manifest))
			req.Namespace.Labels = map[string]string{"team": "payments"}
			req.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			req.User = User{Name: "ada", Groups: []string{"payments"}}
			_, err := r.Review(t.Context(), stored(t, r, req))
			require.NoError(t, err)
			seen := asked.asked[0].Document
			seen["client"], seen["parameters"] = map[string]any{"name": "payments", "labels": map[string]any{"team": "payments"}}, map[string]any{}
			raw, err := json.MarshalIndent(seen, "", "  ")
			require.NoError(t, err)
			document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(document))
			file := filepath.Join(library, "testdata", name, "input.json")
			if *update {
				require.NoError(t, os.WriteFile(file, append(raw, '\n'), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "go test ./internal/review -update writes it")
			assert.JSONEq(t, string(want), string(raw))
		})
	}
}
