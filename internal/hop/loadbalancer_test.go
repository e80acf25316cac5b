package hop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/hop"
)

const passthrough = `{loadBalancer: {simple: PASSTHROUGH}}`

// TestNoClientCallsAGatewayByTheAddressItDialledOrByLocalities, nor has its caller come back by a cookie of its own, by whichever part of
// a rule.
func TestNoClientCallsAGatewayByTheAddressItDialledOrByLocalities(t *testing.T) {
	t.Parallel()
	const none = `{loadBalancer: {localityLbSetting: {enabled: false}}}`
	for in, want := range map[string]string{
		passthrough: none,
		`{loadBalancer: {localityLbSetting: {distribute: [{from: "*", to: {"eu/*": 100}}]}}}`:                 none,
		`{portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: PASSTHROUGH}}]}`:                    `{portLevelSettings: [{port: {number: 80}, loadBalancer: {localityLbSetting: {enabled: false}}}]}`,
		`{loadBalancer: {warmup: {duration: 5s}, consistentHash: {httpCookie: {name: a, ttl: 1h}}}}`:          none,
		`{loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 0s}}}}`:                                  none,
		`{loadBalancer: {consistentHash: {httpCookie: {name: a}}}}`:                                           "",
		`{loadBalancer: {simple: RANDOM, localityLbSetting: {enabled: true, failover: [{from: a}]}}}`:         "",
		`{loadBalancer: {consistentHash: {httpHeaderName: x-user}}, connectionPool: {http: {maxRetries: 1}}}`: "",
	} {
		if want == "" {
			want = in
		}
		rule := destinationRule(t, `{host: api.example.com, trafficPolicy: `+in+`}`)
		sealed := sealedRule(t, rule)
		assert.Equal(t, destinationRule(t, `{host: api.example.com, trafficPolicy: `+want+`}`).Object["spec"], sealed.Object["spec"], in)
		intent, err := hop.RuleIntent(sealed)
		require.NoError(t, err)
		assert.Equal(t, rule, intent, in)
	}
}

// TestTheGatewaysOwnPodsHaveLocalities to choose among, and are not called by the address that the app dialled.
func TestTheGatewaysOwnPodsHaveLocalities(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]bool{
		passthrough: true, `{tls: {mode: SIMPLE}}`: true,
		`{loadBalancer: {localityLbSetting: {distribute: [{from: "*", to: {"eu/*": 100}}]}}}`: false,
	} {
		rule := destinationRule(t, `{host: `+gatewayService+`, trafficPolicy: `+policy+`}`)
		assert.True(t, hop.RuleInForce(rule), policy)
		assert.Equal(t, want, hop.GatewayRuleInForce(rule), policy)
	}
}

func TestPassthroughIsRefusedWhereverARuleHasIt(t *testing.T) {
	t.Parallel()
	rule := destinationRule(t, `{host: api.example.com, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}, portLevelSettings: [{loadBalancer: {simple: RANDOM}}, {loadBalancer: {simple: PASSTHROUGH}}]},
	subsets: [{name: a}, {name: b, trafficPolicy: {portLevelSettings: [{loadBalancer: {simple: PASSTHROUGH}}]}}]}`)
	var got []string
	for _, refusal := range hop.CheckPassthrough(mesh().ReadRule(rule)) {
		assert.Equal(t, hop.CodePassthrough, refusal.Code)
		got = append(got, refusal.Field)
	}
	assert.Equal(t, []string{
		"spec.trafficPolicy.loadBalancer.simple", "spec.trafficPolicy.portLevelSettings[1].loadBalancer.simple",
		"spec.subsets[1].trafficPolicy.portLevelSettings[0].loadBalancer.simple",
	}, got)
	assert.Empty(t, hop.CheckPassthrough(mesh().ReadRule(destinationRule(t, fullRule))))
}
