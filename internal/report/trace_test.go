package report

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/trace"
)

// TestATitleIsOfAllCalls, in whichever order their ways stand; nobody waits for copies.
func TestATitleIsOfAllCalls(t *testing.T) {
	t.Parallel()
	out, lost, straight := trace.Way{Ends: trace.AtGateway}, trace.Way{Ends: trace.Blocked}, trace.Way{Ends: trace.Straight}
	copied := trace.Way{Ends: trace.Straight, Copy: true}
	for want, all := range map[string][][]trace.Way{
		"leaves by an egress gateway":                         {{out}, {out, out, copied}},
		"leads nowhere":                                       {{lost}, {lost, lost, copied}},
		"leaves past every egress gateway":                    {{straight, straight}},
		"some of the calls do not leave by an egress gateway": {{out, lost}, {lost, out}, {lost, straight}, {straight, out, copied}},
	} {
		for _, ways := range all {
			assert.Equal(t, want, ending(trace.Outcome{Ways: ways}), "%v", ways)
		}
	}
}
