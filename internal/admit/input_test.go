package admit_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/policy"
)

var update = flag.Bool("update", false, "write the examples of policy inputs anew")

const library = "../../policies"

// TestInputsAreThoseOfTheDocuments holds the real input of a request against its schema and against the example that
// policies/testdata shows to authors of policies.
func TestInputsAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join(library, "schemas", "input.json"))
	require.NoError(t, err)
	user := func(in admission.Request) admission.Request {
		in.UserInfo.Username, in.UserInfo.Groups = "ada", []string{"payments"}
		return in
	}
	vs := `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"x","namespace":"payments"},"spec":{"hosts":["api.example.com"],` +
		`"http":[{"route":[{"destination":{"host":"reviews","port":{"number":80}},"weight":90},{"destination":{"host":"` + gatewayService + `","port":{"number":80}},"weight":10}]}]}}`
	for name, in := range map[string]admission.Request{
		"serviceentry": user(request("ServiceEntry", sealedJSON())), "virtualservice": user(request("VirtualService", vs)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen map[string]any
			governor(t, judge(func(review policy.Review) policy.Decision {
				seen = review.Document
				return policy.Decision{}
			})).Validate(t.Context(), in)
			seen["parameters"] = map[string]any{}
			raw, err := json.MarshalIndent(seen, "", "  ")
			require.NoError(t, err)
			document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(document))
			file := filepath.Join(library, "testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(file, append(raw, '\n'), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "go test ./internal/admit -update writes it")
			assert.JSONEq(t, string(want), string(raw))
		})
	}
}
