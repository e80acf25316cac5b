package apiserver

import (
	"context"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Rights says who may do what; guards ask.
type Rights = authorizer.UnconditionalAuthorizer

// Administrators are the rights of which it is known without a cluster: who is of system:masters may do everything in any cluster, and of
// nobody else is anything known.
type Administrators struct{}

// Authorize implements Rights.
func (Administrators) Authorize(_ context.Context, of authorizer.Attributes) (authorizer.Decision, string, error) {
	if asks := of.GetUser(); asks != nil && slices.Contains(asks.GetGroups(), user.SystemPrivilegedGroup) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// SetRights has guards ask somebody else than Administrators.
func (s *Server) SetRights(rights Rights) { s.rights = rights }

// AccessReview is how a cluster is asked for a right.
func AccessReview(of authorizer.Attributes) *authorizationv1.SubjectAccessReview {
	out := &authorizationv1.SubjectAccessReview{}
	out.SetGroupVersionKind(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"))
	if asks := of.GetUser(); asks != nil {
		out.Spec.User, out.Spec.Groups = asks.GetName(), asks.GetGroups()
	}
	if !of.IsResourceRequest() {
		out.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: of.GetPath(), Verb: of.GetVerb()}
		return out
	}
	out.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: of.GetNamespace(), Verb: of.GetVerb(), Group: of.GetAPIGroup(), Version: of.GetAPIVersion(),
		Resource: of.GetResource(), Subresource: of.GetSubresource(), Name: of.GetName(),
	}
	return out
}
