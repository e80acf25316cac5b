package admit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// group is the API group of the governed kinds.
const group = "networking.istio.io"

// problem is a request that cannot be judged, with the HTTP code that says whose fault it is.
type problem struct {
	code int32
	err  error
}

func (p *problem) response() admission.Response { return admission.Errored(p.code, p.err) }

func malformed(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// subject is a request taken apart.
type subject struct {
	object, old *unstructured.Unstructured
	namespace   *corev1.Namespace
}

// read takes a request apart. It refuses whatever it was not made for: a rule that is too wide in a webhook
// configuration must not turn into an allow.
func (g *Governor) read(ctx context.Context, req admission.Request) (*subject, *problem) {
	if req.Kind.Group != group || (req.Kind.Kind != "ServiceEntry" && req.Kind.Kind != "VirtualService") {
		return nil, malformed("kind %s %s is not governed here; governed are ServiceEntry and VirtualService of %s", req.Kind.Group, req.Kind.Kind, group)
	}
	switch req.Kind.Version {
	case "v1", "v1beta1", "v1alpha3":
	default:
		return nil, malformed("version %q of %s is not known", req.Kind.Version, req.Kind.Kind)
	}
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update {
		return nil, malformed("operation %q is not governed here", req.Operation)
	}
	if req.Namespace == "" {
		return nil, malformed("request names no namespace")
	}
	object, err := decode(req.Object.Raw, req.Kind.Kind, req.Namespace)
	if err != nil {
		return nil, malformed("object: %w", err)
	}
	out := &subject{object: object}
	if req.Operation == admissionv1.Update {
		if out.old, err = decode(req.OldObject.Raw, req.Kind.Kind, req.Namespace); err != nil {
			return nil, malformed("oldObject: %w", err)
		}
	}
	if out.namespace, err = g.namespaceOf(ctx, req.Namespace); err != nil {
		return nil, &problem{http.StatusInternalServerError, fmt.Errorf("namespace %q cannot be read: %w", req.Namespace, err)}
	}
	return out, nil
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

func (g *Governor) namespaceOf(ctx context.Context, name string) (*corev1.Namespace, error) {
	out := &corev1.Namespace{}
	err := g.Namespaces.Get(ctx, types.NamespacedName{Name: name}, out)
	if apierrors.IsNotFound(err) {
		err = g.Live.Get(ctx, types.NamespacedName{Name: name}, out)
	}
	return out, err
}
