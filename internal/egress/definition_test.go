package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestADefinitionIsOneHoweverItIsSpelled: what a gateway passes on alike is alike.
func TestADefinitionIsOneHoweverItIsSpelled(t *testing.T) {
	t.Parallel()
	base := func() *egress.ServiceEntry {
		return &egress.ServiceEntry{
			Resolution: "DNS",
			Ports:      []egress.Port{{Number: 443, Name: "a", Protocol: "TLS"}, {Number: 80, Name: "b", Protocol: "http", TargetPort: 80}},
			Endpoints:  []egress.Endpoint{{Address: "x", Ports: map[string]uint32{"a": 1}}, {Address: "y"}},
		}
	}
	for name, tc := range map[string]struct {
		change func(*egress.ServiceEntry)
		same   bool
	}{
		"nothing": {func(*egress.ServiceEntry) {}, true},
		"other names, another order": {func(s *egress.ServiceEntry) {
			s.Ports = []egress.Port{{Number: 80, Name: "z", Protocol: "HTTP"}, {Number: 443, Name: "y", Protocol: "tls"}}
			s.Endpoints = []egress.Endpoint{{Address: "y", Ports: map[string]uint32{"z": 80}}, {Address: "x", Ports: map[string]uint32{"y": 1}}}
		}, true},
		"HTTPS is TLS":      {func(s *egress.ServiceEntry) { s.Ports[0].Protocol = "HTTPS" }, true},
		"HTTP2 is not HTTP": {func(s *egress.ServiceEntry) { s.Ports[1].Protocol = "HTTP2" }, false},
		"another port":      {func(s *egress.ServiceEntry) { s.Ports[1].Number = 81 }, false},
		"another endpoint":  {func(s *egress.ServiceEntry) { s.Endpoints[1].Address = "z" }, false},
		"resolution":        {func(s *egress.ServiceEntry) { s.Resolution = "STATIC" }, false},
	} {
		other := base()
		tc.change(other)
		assert.Equal(t, tc.same, base().Define().Equal(other.Define()), name)
	}
	none, robin := egress.ServiceEntry{}, egress.ServiceEntry{Resolution: "DNS_ROUND_ROBIN"}
	assert.True(t, none.Define().Equal(robin.Define()), "so that a correction of NONE is never lost")
}
