package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
)

func TestX(t *testing.T) {
	of, err := config.Installed()
	require.NoError(t, err)
	out, err := chart.Guards(of, "")
	require.NoError(t, err)
	for _, o := range out {
		t.Log(o.GetKind(), o.GetName())
	}
	assert.NotEmpty(t, out)
}
