package apiserver

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/kubernetes/scheme"
)

// Request is an object that is to be stored, and whose wish that is.
type Request struct {
	// Object is what is to be stored, Old what was.
	Object, Old *unstructured.Unstructured
	// Namespace is that of the object, nil for none.
	Namespace *unstructured.Unstructured
	// User asks; nobody is named by an empty name.
	User   string
	Groups []string
}

// guard is a ValidatingAdmissionPolicy, compiled when it is asked first.
type guard struct {
	policy  *admissionv1.ValidatingAdmissionPolicy
	compile func() validating.Validator
}

func newGuard(policy *admissionv1.ValidatingAdmissionPolicy) *guard {
	defaultMatch(policy.Spec.MatchConstraints)
	return &guard{policy: policy, compile: sync.OnceValue(func() validating.Validator { return compile(policy) })}
}

// mayMatch spares the matcher, which parses selectors each time, the guards of other resources.
func (g *guard) mayMatch(resource string) bool {
	match := g.policy.Spec.MatchConstraints
	return match == nil || len(match.ResourceRules) == 0 || slices.ContainsFunc(match.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
		return slices.ContainsFunc(rule.Resources, func(name string) bool { return name == resource || strings.HasPrefix(name, "*") })
	})
}

// Validate implements validating.Validator.
func (g *guard) Validate(ctx context.Context, resource schema.GroupVersionResource, attributes *admission.VersionedAttributes, params runtime.Object, namespace *corev1.Namespace, budget int64, authz authorizer.UnconditionalAuthorizer) validating.ValidateResult {
	return g.compile().Validate(ctx, resource, attributes, params, namespace, budget, authz)
}

// CompileError implements validating.Validator.
func (g *guard) CompileError() error { return g.compile().CompileError() }

// defaultMatch gives what guards match by the defaults that the API server does.
func defaultMatch(of *admissionv1.MatchResources) {
	if of == nil {
		return
	}
	equivalent := admissionv1.Equivalent
	of.MatchPolicy = cmp.Or(of.MatchPolicy, &equivalent)
	of.NamespaceSelector = cmp.Or(of.NamespaceSelector, &metav1.LabelSelector{})
	of.ObjectSelector = cmp.Or(of.ObjectSelector, &metav1.LabelSelector{})
}

// Guard asks the guards about an object. The error is the API server's answer, of the first that denies by its name; warnings are what
// the author reads besides.
func (s *Server) Guard(ctx context.Context, request Request) (warnings []string, err error) {
	if len(s.guards) == 0 {
		return nil, nil
	}
	attributes, interfaces, err := s.attributes(request)
	if err != nil {
		return nil, err
	}
	var hooks []validating.PolicyHook
	for _, name := range slices.Sorted(maps.Keys(s.guards)) {
		guard := s.guards[name]
		if !guard.mayMatch(attributes.GetResource().Resource) {
			continue
		}
		hook := validating.PolicyHook{Policy: guard.policy, Evaluator: guard}
		for _, binding := range slices.Sorted(maps.Keys(s.bindings)) {
			if of := s.bindings[binding]; of.Spec.PolicyName == name {
				hook.Bindings = append(hook.Bindings, of)
			}
		}
		if len(hook.Bindings) > 0 {
			hooks = append(hooks, hook)
		}
	}
	matcher := generic.NewPolicyMatcher(matching.NewMatcher(lister{request.Namespace}, nil))
	heard := &warned{}
	err = validating.NewDispatcher(s.rights, matcher).Dispatch(warning.WithWarningRecorder(ctx, heard), attributes, interfaces, hooks)
	return heard.texts, err
}

// attributes are those of a request, as admission sees it.
func (s *Server) attributes(request Request) (admission.Attributes, admission.ObjectInterfaces, error) {
	kind := request.Object.GroupVersionKind()
	of, err := s.versionOf(kind)
	if err != nil {
		return nil, nil, err
	}
	var object, old runtime.Object = request.Object, nil
	if request.Old != nil {
		old = request.Old
	}
	if of == nil && scheme.Scheme.Recognizes(kind) {
		if object, old, err = natives(request); err != nil {
			return nil, nil, err
		}
	}
	operation := admission.Create
	if request.Old != nil {
		operation = admission.Update
	}
	namespace := request.Object.GetNamespace()
	if kind == corev1.SchemeGroupVersion.WithKind("Namespace") {
		namespace = request.Object.GetName()
	}
	resource, mapper := s.resource(kind, of)
	return admission.NewAttributesRecord(object, old, kind, namespace, request.Object.GetName(), resource, "", operation, nil, false, author(request)),
		interfaces{mapper}, nil
}

// natives returns the objects of a request in the types of Kubernetes' own kinds.
func natives(request Request) (object, old runtime.Object, err error) {
	if object, err = readNative(request.Object); err != nil {
		return nil, nil, err
	}
	if request.Old != nil {
		// What is stored may have fields that this program does not know.
		before, err := scheme.Scheme.New(request.Old.GroupVersionKind())
		if err != nil {
			return nil, nil, err
		}
		if err := typed(request.Old, before); err != nil {
			return nil, nil, err
		}
		before.GetObjectKind().SetGroupVersionKind(request.Old.GroupVersionKind())
		return object, before, nil
	}
	return object, nil, nil
}

// author is who asks. Nobody who was not named is anonymous: the API server knows no request without a user.
func author(request Request) user.Info {
	if request.User == "" {
		return &user.DefaultInfo{Name: user.Anonymous, Groups: append(slices.Clone(request.Groups), user.AllUnauthenticated)}
	}
	return &user.DefaultInfo{Name: request.User, Groups: append(slices.Clone(request.Groups), user.AllAuthenticated)}
}

// warned takes warnings.
type warned struct{ texts []string }

// AddWarning implements warning.Recorder.
func (w *warned) AddWarning(_, text string) { w.texts = append(w.texts, text) }
