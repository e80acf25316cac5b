package integration

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// reviewed is what egressctl review says in the cluster of a control plane, as it was when it was read.
type reviewed struct {
	stored  []manifest.Object
	guards  []*unstructured.Unstructured
	options dryrun.Options
	rights  rightsOf
}

// rightsOf are the rights of a cluster.
type rightsOf struct{ client.Client }

// Authorize implements apiserver.Rights.
func (r rightsOf) Authorize(ctx context.Context, of authorizer.Attributes) (authorizer.Decision, string, error) {
	asked := apiserver.AccessReview(of)
	if err := r.Create(ctx, asked); err != nil || !asked.Status.Allowed {
		return authorizer.DecisionNoOpinion, "", err
	}
	return authorizer.DecisionAllow, "", nil
}

// readKinds are those by which objects are decided on.
var readKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Namespace"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "ServiceAccount"}, {Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "ConfigMap"},
	{Group: "egress-governor.io", Version: "v1alpha1", Kind: "EgressPolicy"},
	{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"}, {Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"},
	{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"}, {Group: "networking.istio.io", Version: "v1", Kind: "Gateway"},
	{Group: "networking.istio.io", Version: "v1", Kind: "Sidecar"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}, {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "GRPCRoute"},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"}, {Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
}

// reviewing reads a cluster, in which a user asks.
func reviewing(t *testing.T, of *controlplane.ControlPlane, user string, groups ...string) *reviewed {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	configured := &corev1.ConfigMap{}
	require.NoError(t, of.Client.Get(ctx, types.NamespacedName{Namespace: controlplane.Namespace, Name: controlplane.Release}, configured))
	configuration, err := config.Parse([]byte(configured.Data["config.yaml"]))
	require.NoError(t, err)
	standards, err := dryrun.Standards(configuration)
	require.NoError(t, err)
	out := &reviewed{rights: rightsOf{of.Client}, options: dryrun.Options{
		Configuration: configuration, Standards: standards, Time: time.Now(), User: review.User{Name: user, Groups: groups}, Release: controlplane.Namespace,
	}}
	for _, kind := range readKinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		// Other tests have kinds of the Gateway API come and go.
		if err := of.Client.List(ctx, list); !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
		for i := range list.Items {
			if apiserver.Guards(&list.Items[i]) {
				out.guards = append(out.guards, &list.Items[i])
				continue
			}
			out.stored = append(out.stored, manifest.Object{Unstructured: &list.Items[i], File: "cluster"})
		}
	}
	out.options.Server = out.server(t, "")
	return out
}

// server is the API server with the guards of the cluster, or with one of them alone.
func (r *reviewed) server(t *testing.T, only string) *apiserver.Server {
	t.Helper()
	out := apiserver.New()
	out.SetRights(r.rights)
	for _, guard := range r.guards {
		if only == "" || guard.GetName() == only {
			require.NoError(t, out.Put(guard))
		}
	}
	return out
}

// answer is what egressctl says to a manifest; by one guard alone, where it is named.
func (r *reviewed) answer(t *testing.T, object manifest.Object, only string) dryrun.Answer {
	t.Helper()
	options := r.options
	if only != "" {
		options.Server = r.server(t, only)
	}
	session, err := dryrun.New(options)
	require.NoError(t, err)
	require.NoError(t, session.Store(r.stored...))
	answer, err := session.Answer(t.Context(), object)
	require.NoError(t, err)
	return answer
}

// guardOf names the guard that denies. Which of several says so first is nobody's to choose.
var guardOf = regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: `)

// says returns what the API server said to a manifest, and what egressctl says.
func (r *reviewed) says(t *testing.T, object manifest.Object, said error, heard []string) (want, got string) {
	t.Helper()
	answer := r.answer(t, object, "")
	if said != nil {
		want = denied.ReplaceAllString(said.Error(), "")
	}
	ours, theirs := guardOf.FindStringSubmatch(answer.Message), guardOf.FindStringSubmatch(want)
	if ours != nil && theirs != nil && ours[1] != theirs[1] {
		answer.Message = r.answer(t, object, theirs[1]).Message
	}
	return told(want, ofAdmission(object, heard)), told(answer.Message, answer.Warnings)
}

func told(message string, warnings []string) string {
	return strings.Join(append([]string{message}, slices.Sorted(slices.Values(warnings))...), "\n")
}

// ofAdmission leaves out what Kubernetes warns of its own kinds, which no library has.
func ofAdmission(object manifest.Object, heard []string) []string {
	if _, governed := review.ResourceOf(object.GetKind()); governed || strings.Contains(object.GetAPIVersion(), "istio.io/") || object.GetKind() == "EgressPolicy" {
		return heard
	}
	return slices.DeleteFunc(slices.Clone(heard), func(text string) bool { return !strings.Contains(text, "ValidatingAdmissionPolicy") })
}

// strict has the API server take no field that it does not know, as kubectl does.
const strict = client.FieldValidation("Strict")
