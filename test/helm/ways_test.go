package helm

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/delete"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// stays is what helm uninstall leaves of a release, beside EgressPolicies: their kind, the gateway with its namespace, and the lease.
var stays = []string{
	"CustomResourceDefinition /egresspolicies.egress-governor.io",
	"Deployment egress-governor-gateway/egress-governor-gateway",
	"Lease egress-governor/egress-governor",
	"Namespace /egress-governor-gateway",
	"Role egress-governor-gateway/egress-governor-gateway",
	"RoleBinding egress-governor-gateway/egress-governor-gateway",
	"Service egress-governor-gateway/egress-governor-gateway",
	"ServiceAccount egress-governor-gateway/egress-governor-gateway",
}

// TestUninstall goes both ways that docs/install.md has, one after the other, on a cluster that then takes a release of another name.
func TestUninstall(t *testing.T) {
	r := started(t)
	r.namespaces(t)
	before := r.all(t)
	t.Run("everything plain first", func(t *testing.T) { r.plainFirst(t, before) })
	t.Run("the release first", func(t *testing.T) { r.releaseFirst(t, before) })
	t.Run("then another", r.another)
}

// plainFirst: the controller takes exits away while it runs, and the release leaves what it would have left with none.
func (r *release) plainFirst(t *testing.T, before []string) {
	r.installs(t, "install")
	r.sealed(t)
	r.installs(t, "upgrade", "--set", "mode=Observe")
	r.unseals(t)
	r.plain(t)
	gateways := of(r.all(t), "Gateway")
	until(t, "exits go", func() bool { return slices.Equal(gateways, slices.Sorted(maps.Keys(r.exits(t)))) })
	r.uninstalls(t, before)
	assert.Equal(t, gateways, slices.Sorted(maps.Keys(r.exits(t))))
	r.deletesExits(t)
}

// releaseFirst: what is sealed stays so, with all its exits as they are, and is written plain by the configuration that was kept.
func (r *release) releaseFirst(t *testing.T, before []string) {
	r.installs(t, "install")
	r.sealed(t)
	kept, sealed, exits := filepath.Join(t.TempDir(), "governor.yaml"), r.specs(t), r.exits(t)
	require.NoError(t, r.SaveConfiguration(t.Context(), kept))
	r.uninstalls(t, before)
	assert.Equal(t, sealed, r.specs(t), "it stays sealed")
	assert.Equal(t, exits, r.exits(t), "and has its exits")
	require.NoError(t, r.Client.Create(t.Context(), decoded(t, evil)[0]), "nothing is evaluated any more")

	said := r.unseals(t, "--config", kept)
	assert.Contains(t, said, "Nobody keeps exits any more, so they stay")
	r.plain(t)
	maps.DeleteFunc(exits, func(name string, _ any) bool { return strings.HasPrefix(name, "DestinationRule vault/") })
	assert.Equal(t, exits, r.exits(t), "it takes away the rules beside entries")
	r.deletesExits(t)
}

// another: what stayed is in the way of a release of another name, unless helm is told to take it over.
func (r *release) another(t *testing.T) {
	install := []string{"install", "another", "charts/egress-governor", "--values", r.values, "-n", controlplane.Namespace}
	said, err := r.run(t, r.helm, install...)
	require.Error(t, err)
	assert.Contains(t, said, "cannot be imported into the current release")
	said, err = r.run(t, r.helm, append(install, "--take-ownership")...)
	require.NoError(t, err, said)
}

// uninstalls has helm uninstall the release, after which nothing is there that was not before, but for what tenants wrote, policies, exits, and
// what stays.
func (r *release) uninstalls(t *testing.T, before []string) {
	t.Helper()
	policies := of(r.all(t), "EgressPolicy")
	require.Greater(t, len(policies), 1, "the baseline, and the house's")
	expected := slices.Concat(before, stays, policies, slices.Collect(maps.Keys(r.exits(t))), slices.Collect(maps.Keys(r.specs(t))))
	r.helms(t, "uninstall", controlplane.Release)
	r.stop(t)
	slices.Sort(expected)
	// A pod that has not ended yet may make the certificate anew.
	left := slices.DeleteFunc(r.all(t), func(name string) bool {
		return strings.HasPrefix(name, "Secret ") && strings.HasSuffix(name, "-webhook-cert")
	})
	assert.Equal(t, slices.Compact(expected), left)
}

// specs are those of what authors wrote, as it is stored.
func (r *release) specs(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, object := range decoded(t, written) {
		require.NoError(t, r.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		out[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object.Object["spec"]
	}
	return out
}

func (r *release) unseals(t *testing.T, args ...string) (said string) {
	t.Helper()
	said, err := r.run(t, r.egressctl, append([]string{"unseal", "--kubeconfig", r.Kubeconfig, "--apply", "--settle", "200ms"}, args...)...)
	require.NoError(t, err, said)
	return said
}

// deletesExits runs the command of the document, by kubectl's own code, for the namespace of each gateway: no exit is left.
func (r *release) deletesExits(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.root, "docs", "install.md"))
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^    kubectl delete (serviceentries,.*)$`).FindAllStringSubmatch(string(raw), -1)
	require.Len(t, lines, 1)
	for _, namespace := range []string{controlplane.GatewayNamespace, "egress-governor-gateway"} {
		config := genericclioptions.NewConfigFlags(false)
		config.KubeConfig = &r.Kubeconfig
		cmd := delete.NewCmdDelete(cmdutil.NewFactory(config), genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: os.Stderr})
		config.AddFlags(cmd.Flags())
		cmd.SetArgs(strings.Fields(strings.Replace(lines[0][1], "-n "+controlplane.GatewayNamespace, "-n "+namespace, 1)))
		require.NoError(t, cmd.ExecuteContext(t.Context()))
	}
	assert.Empty(t, r.exits(t))
}

// until waits for something.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(200 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), what)
	}
}
