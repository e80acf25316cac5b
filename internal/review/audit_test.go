package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/policy"
)

func audited(t *testing.T, r *Reviewer, in Request) *Outcome {
	t.Helper()
	in.Operation = Audit
	out, err := r.Review(t.Context(), in)
	require.NoError(t, err)
	return out
}

// TestTheAuditNamesWhatIsNotSealed, and tells it from what was changed afterwards.
func TestTheAuditNamesWhatIsNotSealed(t *testing.T) {
	t.Parallel()
	const spec = `{hosts: [new.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]`
	r := newReviewer()
	assert.Equal(t, []string{"unsealed-entry spec.endpoints"}, codes(audited(t, r, create(entry(t, spec+"}")))))
	assert.Equal(t, []string{"unsealed-entry spec.endpoints", "raw-protocol spec.ports[0].protocol"},
		codes(audited(t, r, create(entry(t, `{hosts: [new.example.com], resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]}`)))),
		"and why it cannot be")
	assert.Empty(t, codes(audited(t, r, create(entry(t, spec+", location: MESH_INTERNAL, endpoints: [{address: local.payments.svc.cluster.local}]}")))), "it does not leave")

	sealed := stored(t, r, create(entry(t, spec+"}")))
	assert.Empty(t, codes(audited(t, r, sealed)))
	sealed.Object.Object["spec"].(map[string]any)["exportTo"] = []any{"istio-system", "a"}
	assert.Equal(t, []string{"not-sealed spec.endpoints"}, codes(audited(t, r, sealed)))
	r.Mesh.Seal = false
	assert.Empty(t, codes(audited(t, r, create(entry(t, spec+"}")))), "nothing is sealed here")
}

// TestTheAuditAsksPoliciesAsIfItWereNew.
func TestTheAuditAsksPoliciesAsIfItWereNew(t *testing.T) {
	t.Parallel()
	asked := &policies{decision: policy.Decision{Denied: []policy.Violation{{Policy: "p", Code: "no", Message: "no"}}}}
	r := newReviewer()
	r.Policies = asked
	out := audited(t, r, stored(t, r, create(entry(t, `{hosts: [new.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`))))
	assert.Equal(t, Denied, out.Verdict)
	require.Len(t, asked.asked, 1)
	document := asked.asked[0].Document
	assert.Equal(t, "AUDIT", document["operation"])
	assert.Nil(t, document["oldObject"])
	assert.Empty(t, document["user"].(map[string]any)["name"])
}
