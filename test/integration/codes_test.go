package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/codes"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestExamplesOfCodesOnAnAPIServer: what the pages of docs/codes show is answered so by a real one, to everything that needs no
// configuration of its own and nothing beside it, and named the page. What is mended passes the rules of Istio's CRDs as well.
func TestExamplesOfCodesOnAnAPIServer(t *testing.T) {
	t.Parallel()
	examples, err := codes.Load(filepath.Join("..", "codes", "examples"))
	require.NoError(t, err)
	tried := 0
	for _, example := range examples {
		alone := example.Policy == "" && len(example.Configuration)+len(example.Gateway) == 0 && example.Before == ""
		if !alone || example.Patch != nil || example.Audited || strings.Contains(example.Manifest, "EgressPolicy") {
			continue
		}
		tried++
		t.Run(example.Code, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, nil)
			create := func(manifest string) (errs []string) {
				manifest = strings.NewReplacer("namespace: shop", "namespace: "+ns, "namespace: web", "namespace: "+ns, "example.com", ns+".example.com").Replace(manifest)
				objects, err := controlplane.Decode(strings.NewReader(manifest))
				require.NoError(t, err)
				for _, object := range objects {
					if err := shared.Client.Create(t.Context(), object, client.DryRunAll); err != nil {
						errs = append(errs, err.Error())
					}
				}
				return errs
			}
			said := strings.Join(create(example.Whole()), "\n")
			assert.Contains(t, said, "("+example.Code+")")
			assert.Contains(t, said, "/docs/codes/"+example.Code+".md")
			assert.Empty(t, create(example.Mended))
		})
	}
	require.Greater(t, tried, 30)
}
