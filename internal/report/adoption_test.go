package report

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestASealedEntryHasARowWhereItsNextWriteIsDenied, and counts as sealed.
func TestASealedEntryHasARowWhereItsNextWriteIsDenied(t *testing.T) {
	t.Parallel()
	entry := &unstructured.Unstructured{Object: map[string]any{"kind": "ServiceEntry"}}
	entry.SetName("one")
	for message, want := range map[string]string{
		"": "0 entries to seal, 1 sealed, 0 other objects to rewrite, 0 left as they are\n",
		"no: not one (host-denied)": `NAMESPACE   OBJECT             HOSTS                 STATE
b           ServiceEntry one   one.example.com:443   sealed: denied
  is sealed, and its calls leave by the gateway; a write of it as it is would not be stored:
  no: not one (host-denied)

0 entries to seal, 1 sealed, 0 other objects to rewrite, 0 left as they are
`,
	} {
		var out bytes.Buffer
		require.NoError(t, NewAdoption(&adopt.Plan{Namespaces: []adopt.Namespace{{Name: "b", Objects: []adopt.Object{{
			Object: manifest.Object{Unstructured: entry}, State: adopt.Sealed, Verdict: review.Denied, Message: message, Hosts: []string{"one.example.com:443"},
		}}}}}).Write(&out, "table"))
		assert.Equal(t, want, out.String())
	}
}
