package checkup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

const configured = `apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
gateways:
- {name: default, service: out.istio-system.svc.cluster.local, selector: {app: out}, ports: {http: 80, tls: 443}, transport: Plain}
`

// TestProbesAreWhatTheySay by every configuration: what must be refused is, whatever is installed, and the rest is answered and sealed.
func TestProbesAreWhatTheySay(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]string{
		"as installed": "", "left": "serviceEntries: Leave\n", "evaluated only": "serviceEntries: Leave\nvirtualServices: Leave\n", "routes left": "virtualServices: Leave\n",
		"mutual TLS": "MutualTLS", "wildcards": "Resolve", "closed": "unregistered: Block\n", "own namespace": "exportTo: OwnNamespace\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := configured + with
			switch with {
			case "MutualTLS":
				text = strings.Replace(configured, "Plain", with, 1)
			case "Resolve":
				text = strings.Replace(configured, "transport: Plain", "wildcards: Resolve", 1) + "clusterCIDRs: [10.0.0.0/8]\n"
			}
			configuration, err := config.Parse([]byte(text))
			require.NoError(t, err)
			mesh, err := configuration.Mesh()
			require.NoError(t, err)
			session, err := dryrun.New(dryrun.Options{Configuration: configuration, Sending: dryrun.Sending{Time: time.Now()}})
			require.NoError(t, err)
			for _, probe := range checkup.Probes("payments") {
				answers, err := session.Apply(t.Context(), []manifest.Object{{Unstructured: probe.Object.DeepCopy()}}, func() {})
				require.NoError(t, err)
				answer := answers[0]
				assert.Equal(t, !probe.Refused, answer.Allowed(), "%s %s: %s", probe.Object.GetKind(), probe.Object.Object["spec"], answer.Message)
				if probe.Refused || probe.Object.GetKind() != "ServiceEntry" {
					continue
				}
				stored, err := session.Stored(manifest.Object{Unstructured: probe.Object})
				require.NoError(t, err)
				_, sealed := hop.SealedTo(stored, mesh)
				assert.Equal(t, mesh.Seal, sealed)
			}
		})
	}
}
