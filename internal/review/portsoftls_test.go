package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestADatabaseOfTheMeshBesideTLS: of the two, Istio drops one.
func TestADatabaseOfTheMeshBesideTLS(t *testing.T) {
	t.Parallel()
	mongo := `{hosts: [db.test], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: db}}, ports: [{number: 443, name: p, protocol: MONGO}]}`
	tls := theirs("api.test", "TLS", 443)
	straight := *tls
	straight.Gateway = ""
	for name, tc := range map[string]struct {
		spec  string
		other *egress.Entry
		want  []string
	}{
		"that leaves":       {mongo, tls, []string{"tcp-port-taken spec.ports[0].number"}},
		"of the mesh's own": {mongo, &straight, nil},
		"to its own":        {strings.Replace(mongo, "{hosts", `{exportTo: ["."], hosts`, 1), theirs("api.test", "TLS", 443, "other"), nil},
		"raw":               {strings.Replace(mongo, "MONGO", "TCP", 1), tls, nil},
	} {
		r := byMutualTLS(&egresstest.Cluster{Known: []*egress.Entry{tc.other}})
		outcome, err := reviewed(t, r, create(entry(t, tc.spec)))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}
