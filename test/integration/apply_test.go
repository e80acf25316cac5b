package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

func TestEntryIsRefusedThroughEveryServedVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			in := entry(t, version, namespace(t, nil), "db", `{hosts: [db.`+version+`.example.com],
				resolution: DNS,
				ports: [{number: 5432, name: db, protocol: TCP}]}`)
			err := shared.Client.Create(t.Context(), in)
			require.Error(t, err)
			assert.Equal(t, int32(422), code(err))
			assert.Contains(t, err.Error(), "spec.ports[0]")
			assert.Contains(t, err.Error(), "Fix: ")
		})
	}
}

func TestRouteIsInjectedThroughEveryServedVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, nil)
			host := ns + ".example.com"
			se := entry(t, version, ns, "api", strings.ReplaceAll(hostSpec, "HOST", host))
			require.NoError(t, shared.Client.Create(t.Context(), se))
			eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady")
			vs := virtualService(t, version, ns, `{hosts: [`+host+`],
				tls: [{match: [{sniHosts: [`+host+`]}],
					route: [{destination: {host: `+host+`, port: {number: 443}}}]}]}`)
			require.NoError(t, shared.Client.Create(t.Context(), vs))
			assert.Equal(t, []string{gatewayHost}, destinations(get(t, vs)))
		})
	}
}

// A patch that names the author's endpoints again makes the API server set the time of the author's managedFields
// anew, and sort them behind the status's: the first such apply writes that and nothing else, later ones nothing. It
// does so in another second than the create only, hence the waits; server-side apply never does.
func TestClientSideApplyIsGovernedAndIdempotent(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	for name, tc := range map[string]struct {
		spec        string
		bookkeeping bool
	}{
		"dns": {spec: `{hosts: [dns.clientside.example.com],
			resolution: DNS,
			ports: [{number: 443, name: tls, protocol: TLS}]}`},
		"static": {`{hosts: [static.clientside.example.com],
			resolution: STATIC,
			endpoints: [{address: 192.0.2.1}],
			ports: [{number: 443, name: tls, protocol: TLS}]}`, true},
		"another spelling": {`{hosts: [Spelling.clientside.example.com.],
			resolution: DNS,
			ports: [{number: 443, name: tls, protocol: TLS}]}`, true},
		"none": {`{hosts: [none.clientside.example.com],
			resolution: NONE,
			ports: [{number: 443, name: tls, protocol: TLS}]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := entry(t, "v1", ns, strings.ReplaceAll(name, " ", "-"), tc.spec)
			require.NoError(t, controlplane.ClientSideApply(t.Context(), shared.Client, in))
			eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
			first := get(t, in)
			require.Equal(t, gatewayHost, endpoints(t, first)[0].(map[string]any)["address"])

			anotherSecond(t, first)
			require.NoError(t, controlplane.ClientSideApply(t.Context(), shared.Client, in))
			again := get(t, in)
			if !tc.bookkeeping {
				assert.Equal(t, first.GetResourceVersion(), again.GetResourceVersion())
			}
			assert.Equal(t, first.GetGeneration(), again.GetGeneration())
			assert.Equal(t, written(first), written(again))

			anotherSecond(t, again)
			require.NoError(t, controlplane.ClientSideApply(t.Context(), shared.Client, in))
			assert.Equal(t, again.GetResourceVersion(), get(t, in).GetResourceVersion())
		})
	}
}

// anotherSecond waits until the clock shows another second than any of the object's managedFields.
func anotherSecond(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	eventually(t, func() bool {
		for _, entry := range object.GetManagedFields() {
			if time.Now().Unix() <= entry.Time.Unix() {
				return false
			}
		}
		return true
	}, "another second")
}

// written is an object without the API server's own bookkeeping.
func written(object *unstructured.Unstructured) map[string]any {
	out := object.DeepCopy()
	out.SetManagedFields(nil)
	out.SetResourceVersion("")
	return out.Object
}

// TestWebhookHasItsOwnRights asks the API server who the webhook is, and that it may not do what an administrator may.
func TestWebhookHasItsOwnRights(t *testing.T) {
	t.Parallel()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join("..", "..", ".run", "integration", "webhook.kubeconfig"))
	require.NoError(t, err)
	webhook, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	admin, err := kubernetes.NewForConfig(shared.Config)
	require.NoError(t, err)
	review, err := admin.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: config.BearerToken}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "system:serviceaccount:"+controlplane.Namespace+":"+controlplane.Release, review.Status.User.Username)

	const istio = "networking.istio.io"
	for name, tc := range map[string]struct {
		ask  authorizationv1.ResourceAttributes
		want bool
	}{
		"reads entries everywhere":           {authorizationv1.ResourceAttributes{Verb: "list", Group: istio, Resource: "serviceentries"}, true},
		"makes exits beside the gateway":     {authorizationv1.ResourceAttributes{Verb: "create", Group: istio, Resource: "virtualservices", Namespace: controlplane.GatewayNamespace}, true},
		"makes no route for a tenant":        {authorizationv1.ResourceAttributes{Verb: "create", Group: istio, Resource: "virtualservices", Namespace: "default"}, false},
		"deletes no entry of a tenant":       {authorizationv1.ResourceAttributes{Verb: "delete", Group: istio, Resource: "serviceentries", Namespace: "default"}, false},
		"reads no Secret but in its release": {authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets", Namespace: controlplane.GatewayNamespace}, false},
		"grants itself nothing":              {authorizationv1.ResourceAttributes{Verb: "update", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, err := webhook.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(),
				&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &tc.ask}}, metav1.CreateOptions{})
			require.NoError(t, err)
			assert.Equal(t, tc.want, answer.Status.Allowed, answer.Status.Reason)
		})
	}
}
