package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestNoTwoPairsHaveOneName, wherever the word between two hosts is a label of one of them.
func TestNoTwoPairsHaveOneName(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a.com.at.b.com.egress-governor.internal", egress.Pair{Asked: "a.com", Led: "b.com"}.Host())
	for _, two := range [][2]egress.Pair{
		{{Asked: "www.shop.at", Led: "edge.com"}, {Asked: "www.shop", Led: "at.edge.com"}},
		{{Asked: "a.com", Led: "b.at.c.com"}, {Asked: "a.com.at.b", Led: "c.com"}},
	} {
		assert.NotEqual(t, two[0].Host(), two[1].Host())
		assert.True(t, egress.IsReserved(two[0].Host()))
	}
}
