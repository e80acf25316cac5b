package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAHostIsNotTakenByRoutesThatWereThereFirst: of another namespace, and seen by those who see the entry.
func TestAHostIsNotTakenByRoutesThatWereThereFirst(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host string
		by   egress.Seen
		want int
	}{
		"for everybody":       {"api.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 1},
		"by a wildcard":       {"*.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 1},
		"for this namespace":  {"api.example.com", egress.Seen{Namespace: "evil", Name: "x", ExportTo: []string{egresstest.Namespace}}, 1},
		"for another":         {"api.example.com", egress.Seen{Namespace: "evil", Name: "x", ExportTo: []string{"."}}, 0},
		"of the namespace":    {"api.example.com", egress.Seen{Namespace: egresstest.Namespace, Name: "x"}, 0},
		"of a host beside it": {"www.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := egresstest.NewCluster()
			view.Takes = map[string][]*egress.Seen{tc.host: {&tc.by}}
			entry := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
			entry.ExportTo = []string{"."}
			got := 0
			if by := entry.TakenBy("api.example.com", view); by != nil {
				got = 1
				assert.Equal(t, "VirtualService "+tc.by.Namespace+"/x", by.String())
			}
			assert.Equal(t, tc.want, got)
		})
	}
}
