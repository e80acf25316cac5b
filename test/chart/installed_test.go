package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestTheCommandLineTakesWhatTheChartInstalls: without a configuration egressctl answers as the chart without values has it.
func TestTheCommandLineTakesWhatTheChartInstalls(t *testing.T) {
	t.Parallel()
	written, err := config.Parse([]byte(only[corev1.ConfigMap](t, rendered(t, nil), "ConfigMap").Data["config.yaml"]))
	require.NoError(t, err)
	installed, err := config.Installed()
	require.NoError(t, err)
	want, err := written.Mesh()
	require.NoError(t, err)
	got, err := installed.Mesh()
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, written.DNSCapture, installed.DNSCapture)
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	standards, err := engine.Baseline(written.Standards())
	require.NoError(t, err)
	assumed, err := engine.Baseline(installed.Standards())
	require.NoError(t, err)
	assert.Equal(t, standards, assumed)
	_, err = dryrun.New(dryrun.Options{Configuration: installed})
	require.NoError(t, err)
}
