package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestIstiodVouchesForNoAddress: of a workload that registers itself it writes down the address that the workload says it has.
func TestIstiodVouchesForNoAddress(t *testing.T) {
	t.Parallel()
	configuration, err := config.Installed()
	require.NoError(t, err)
	configuration.MeshCIDRs = []string{"10.30.0.0/16"}
	session, err := dryrun.New(dryrun.Options{Configuration: configuration, Sending: dryrun.Sending{
		User: review.User{Name: "system:serviceaccount:istio-system:istiod", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:istio-system"}},
	}})
	require.NoError(t, err)
	const registered = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: app, annotations: {istio.io/autoRegistrationGroup: vm}}\nspec: {labels: {app: a}, address: "
	for address, want := range map[string]review.Verdict{"203.0.113.9": review.Denied, "10.30.0.7": review.Allowed} {
		objects, err := manifest.Parse("vm.yaml", []byte(registered+address+"}"))
		require.NoError(t, err)
		answers, err := session.Apply(t.Context(), objects, func() {})
		require.NoError(t, err)
		require.Len(t, answers, 1)
		assert.Equal(t, want, answers[0].Verdict, "%s: %s", address, answers[0].Message)
	}
}
