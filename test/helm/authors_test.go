package helm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// tenants are namespaces: one leaves by Istio's gateway in plain text, the other by the chart's, by mutual TLS.
var tenants = map[string]map[string]string{"plain": {"egress": "plain"}, "vault": nil}

// written is what authors write there, and a policy.
const written = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: plain}
spec: {hosts: [api.test], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: plain}
spec: {hosts: [api.test], exportTo: ["."], http: [{timeout: 3s, route: [{destination: {host: api.test, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sql, namespace: vault}
spec: {hosts: [sql.test], exportTo: ["."], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}
---
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: house}
spec: {policy: denied-hosts, parameters: {hosts: [evil.test]}, enforcement: Deny, existing: Report}
`

// evil is what the policy denies.
const evil = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: evil, namespace: plain}
spec: {hosts: [evil.test], exportTo: ["."], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
`

func decoded(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.Decode(strings.NewReader(manifests))
	require.NoError(t, err)
	return out
}

// namespaces makes those of the tenants.
func (r *release) namespaces(t *testing.T) {
	t.Helper()
	for name, labels := range tenants {
		require.NoError(t, r.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}))
	}
}

// sealed has authors write anew, and returns once all is sealed, denied is what must be, and exits stand.
func (r *release) sealed(t *testing.T) {
	t.Helper()
	for _, object := range decoded(t, written) {
		governed := object.GetKind() != "EgressPolicy"
		until(t, object.GetName()+" is sealed", func() bool {
			stored := object.DeepCopy()
			return client.IgnoreNotFound(r.Client.Delete(t.Context(), object.DeepCopy())) == nil && r.Client.Create(t.Context(), stored) == nil &&
				(len(stored.GetAnnotations()) > 0 || !governed)
		})
	}
	until(t, "the policy denies", func() bool {
		err := r.Client.Create(t.Context(), decoded(t, evil)[0], client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "host-denied")
	})
	for _, object := range decoded(t, written) {
		if object.GetKind() != "ServiceEntry" {
			continue
		}
		until(t, object.GetName()+" has its exit", func() bool {
			return r.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object) == nil && controlplane.ConditionOf(object, "ExitReady", "status") == "True"
		})
	}
}

// plain asserts that all is as it was written.
func (r *release) plain(t *testing.T) {
	t.Helper()
	for _, object := range decoded(t, written) {
		stored := object.DeepCopy()
		require.NoError(t, r.Client.Get(t.Context(), client.ObjectKeyFromObject(object), stored))
		assert.Equal(t, object.Object["spec"], stored.Object["spec"], object.GetName())
		assert.Empty(t, stored.GetAnnotations(), object.GetName())
	}
}
