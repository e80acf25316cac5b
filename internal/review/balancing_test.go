package review

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAChoiceAmongEndpointsThatOthersMakeIsTold: a client sees the gateway alone, and that goes by what all agree on.
func TestAChoiceAmongEndpointsThatOthersMakeIsTold(t *testing.T) {
	t.Parallel()
	const (
		hashed = `{host: api.example.com, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}}`
		pooled = `{host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}`
		at     = "loadBalancer: the egress gateway does not call api.example.com by it, port 80: "
		beside = at + "namespace others has an entry of the host, too"
		by     = at + "no entry of this namespace has part in its exit, one of namespace others has"
	)
	for name, tc := range map[string]struct {
		rule, theirs string
		own, both    bool
		told         string
	}{
		"of the owner":                  {rule: hashed, own: true},
		"of another":                    {rule: hashed, told: by},
		"of another that shares":        {rule: hashed, both: true, told: beside},
		"a pool of another":             {rule: pooled},
		"a pool of one that shares":     {rule: pooled, both: true, told: strings.Replace(beside, "loadBalancer", "connectionPool", 1)},
		"as the owner's":                {rule: hashed, theirs: hashed},
		"otherwise than the owner's":    {rule: `{host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {localityLbSetting: {enabled: true}}}]}}`, theirs: hashed, told: by},
		"what a gateway does as well":   {rule: `{host: api.example.com, trafficPolicy: {loadBalancer: {simple: RANDOM}}}`, theirs: hashed},
		"of a port that the host lacks": {rule: `{host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 81}, loadBalancer: {localityLbSetting: {enabled: true}}}]}}`},
	} {
		entry := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
		view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{entry}}
		if !tc.own {
			entry.Namespace, entry.Created = "others", time.Unix(1, 0)
		}
		if tc.both {
			view.Known = append(view.Known, egresstest.Sealed("api.example.com", entry.Ports...))
		}
		if tc.theirs != "" {
			rule := view.Mesh.ReadRule(destinationRule(t, tc.theirs))
			rule.Namespace = "others"
			view.Rules = append(view.Rules, rule)
		}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, tc.rule))))
		require.NoError(t, err, name)
		assert.Empty(t, codes(outcome), name)
		said := strings.Join(outcome.Changes, "\n")
		if tc.told == "" {
			assert.NotContains(t, said, "does not call", name)
		} else {
			assert.Contains(t, said, tc.told, name)
		}
	}
}
