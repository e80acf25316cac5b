package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestPassthroughIsRefusedWhetherOrNotAnEntryIsThere: one may come later, and sidecars would know it and the rule at once. What
// is the mesh's own may be called so.
func TestPassthroughIsRefusedWhetherOrNotAnEntryIsThere(t *testing.T) {
	t.Parallel()
	const at = "rule-passthrough spec.trafficPolicy.loadBalancer.simple"
	for host, want := range map[string][]string{
		"api.example.com": {at}, "nobody.example.net": {at}, `"*.example.net"`: {at}, `"*.local"`: {at},
		`"*.example.com"`: {"wildcard-rule spec.host", at}, `"*"`: {"wildcard-rule spec.host", at},
		egresstest.GatewayService: {at}, `"*.istio-system.svc.cluster.local"`: {at},
		"local": nil, "local.payments.svc.cluster.local": nil, `"*.payments.svc.cluster.local"`: nil,
	} {
		r := newReviewer()
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, `{host: `+host+`, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}`))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), host)
	}
	r := newReviewer()
	left := *egresstest.Mesh()
	left.Seal, left.Inject = false, false
	r.Mesh = &left
	outcome, err := r.Review(t.Context(), create(destinationRule(t, `{host: nobody.example.net, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}`)))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "nothing is led to a gateway")
}

// TestPassthroughPastTheWebhookIsSealed by whoever writes the rule next, the controller of rules first, and comes back by no write.
func TestPassthroughPastTheWebhookIsSealed(t *testing.T) {
	t.Parallel()
	past := destinationRule(t, `{host: api.example.com, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}`)
	r := newReviewer()
	sealed := stored(t, r, Request{Operation: Update, Object: past, Old: past, Namespace: create(past).Namespace})
	outcome, err := r.Review(t.Context(), sealed)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
	for name, req := range map[string]Request{
		"as it was": {Operation: Update, Object: past, Old: past}, "as a new one": {Operation: Create, Object: sealed.Object},
		"by the audit": {Operation: Audit, Object: sealed.Object},
	} {
		req.Namespace = sealed.Namespace
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, []string{"rule-passthrough spec.trafficPolicy.loadBalancer.simple"}, codes(outcome), name)
	}
}
