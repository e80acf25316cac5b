package admit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/review"
)

// problem is a request that cannot be evaluated, with the HTTP code that says whose fault it is.
type problem struct {
	code int32
	err  error
}

// response says so to the client and in the log.
func (p *problem) response(ctx context.Context, req admission.Request) admission.Response {
	log.FromContext(ctx).Info("Not allowed", "verdict", review.Failed, "operation", req.Operation, "status", p.code, "error", p.err.Error())
	out := admission.Errored(p.code, p.err)
	out.AuditAnnotations = map[string]string{byRequest: string(req.UID)}
	return out
}

func broken(err error) *problem { return &problem{http.StatusInternalServerError, err} }

func malformed(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// operations are those that are governed.
var operations = map[admissionv1.Operation]review.Operation{
	admissionv1.Create: review.Create,
	admissionv1.Update: review.Update,
	admissionv1.Delete: review.Delete,
}

// read takes a request apart. It refuses whatever it was not made for: a rule that is too wide in a webhook
// configuration must not turn into an allow.
func (h *Handler) read(ctx context.Context, req admission.Request) (review.Request, *problem) {
	out := review.Request{
		UID:       string(req.UID),
		Operation: operations[req.Operation], Name: req.Name,
		User:   review.User{Name: req.UserInfo.Username, Groups: req.UserInfo.Groups},
		DryRun: req.DryRun != nil && *req.DryRun, Time: time.Now(),
	}
	if problem := governed(req); problem != nil {
		return out, problem
	}
	raw, what := req.Object.Raw, "object"
	if out.Operation == review.Delete {
		raw, what = req.OldObject.Raw, "oldObject"
	}
	var err error
	if out.Object, err = decode(raw, req.Kind.Kind, req.Namespace); err != nil {
		return out, malformed("%s: %w", what, err)
	}
	if out.Operation == review.Update {
		if out.Old, err = decode(req.OldObject.Raw, req.Kind.Kind, req.Namespace); err != nil {
			return out, malformed("oldObject: %w", err)
		}
	}
	namespace, err := h.namespace(ctx, req.Namespace)
	if err != nil {
		return out, broken(fmt.Errorf("namespace %q cannot be read: %w", req.Namespace, err))
	}
	out.Namespace = review.Namespace{Name: req.Namespace, Labels: namespace.Labels, Annotations: namespace.Annotations}
	return out, nil
}

// kindOf is the kind of a request where it is one that requests are made of, "other" elsewhere.
func kindOf(req admission.Request) string {
	if _, known := review.ResourceOf(req.Kind.Kind); known || req.Kind.Kind == "EgressPolicy" {
		return req.Kind.Kind
	}
	return "other"
}

func governed(req admission.Request) *problem {
	resource, known := review.ResourceOf(req.Kind.Kind)
	if !known || req.Kind.Group != resource.Group {
		return malformed("kind %s %s is not governed here; governed are %s", req.Kind.Group, req.Kind.Kind, strings.Join(review.Kinds(), ", "))
	}
	if !slices.Contains(resource.Versions, req.Kind.Version) {
		return malformed("version %q of %s is not known", req.Kind.Version, req.Kind.Kind)
	}
	if operations[req.Operation] == "" || operations[req.Operation] == review.Delete && !resource.Leaves {
		return malformed("operation %q is not governed here", req.Operation)
	}
	if req.Namespace == "" {
		return malformed("request names no namespace")
	}
	return nil
}

func decode(raw []byte, kind, namespace string) (*unstructured.Unstructured, error) {
	if len(raw) == 0 {
		return nil, errors.New("is empty")
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if out.GetKind() != kind {
		return nil, fmt.Errorf("is a %s, the request says %s", out.GetKind(), kind)
	}
	out.SetNamespace(namespace)
	return out, nil
}

func (h *Handler) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	out := &corev1.Namespace{}
	err := h.Namespaces.Get(ctx, types.NamespacedName{Name: name}, out)
	if apierrors.IsNotFound(err) {
		err = h.Live.Get(ctx, types.NamespacedName{Name: name}, out)
	}
	return out, err
}
