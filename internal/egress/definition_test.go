package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func TestDiffers(t *testing.T) {
	t.Parallel()
	base := egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{{Number: 443, Name: "a", Protocol: "TLS"}, {Number: 80, Name: "b", Protocol: "http", TargetPort: 80}}, Endpoints: []egress.Endpoint{{Address: "x", Ports: map[string]uint32{"a": 1}}}}
	for name, tc := range map[string]struct {
		change func(*egress.ServiceEntry)
		want   string
	}{
		"nothing": {func(*egress.ServiceEntry) {}, ""},
		"spelling": {func(s *egress.ServiceEntry) {
			s.Ports = []egress.Port{{Number: 80, Name: "z", Protocol: "HTTP"}, {Number: 443, Name: "y", Protocol: "tls"}}
			s.Endpoints = []egress.Endpoint{{Address: "x", Ports: map[string]uint32{"y": 1}}}
		}, ""},
		"resolution":    {func(s *egress.ServiceEntry) { s.Resolution = "STATIC" }, "its resolution is DNS there and STATIC here"},
		"protocol":      {func(s *egress.ServiceEntry) { s.Ports = []egress.Port{{Number: 443, Protocol: "HTTP"}} }, "port 443 is TLS there and HTTP here"},
		"a further one": {func(s *egress.ServiceEntry) { s.Ports = []egress.Port{{Number: 81, Protocol: "HTTP"}} }, "port 81 is not declared there"},
		"one less":      {func(s *egress.ServiceEntry) { s.Ports = s.Ports[:1] }, "port 80 is declared there and not here"},
		"targetPort": {func(s *egress.ServiceEntry) {
			s.Ports = []egress.Port{{Number: 80, Protocol: "HTTP", TargetPort: 8000}}
		}, "port 80 has another targetPort there"},
		"endpoints": {func(s *egress.ServiceEntry) { s.Endpoints = nil }, "its endpoints are others"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := base
			tc.change(&other)
			assert.Equal(t, tc.want, base.Define().Differs(other.Define()))
		})
	}
}
