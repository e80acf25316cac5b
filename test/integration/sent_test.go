package integration

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// sent is what a request asks for.
type sent struct {
	object *unstructured.Unstructured
	// old is what is stored under its name, nil for nothing.
	old      *unstructured.Unstructured
	resource schema.GroupVersionResource
	by       dryrun.Sending
	strict   bool
	// dry says that nothing is stored.
	dry bool
	// patch is what is laid over what is stored, of a type; empty for a whole object.
	patch     []byte
	patchType string
}

// sent reads a request; why says that there is nothing to compare.
func (m *mirror) sent(ctx context.Context, of *http.Request, info *request.RequestInfo, raw []byte, user review.User) (out *sent, why string, err error) {
	query := of.URL.Query()
	out = &sent{resource: schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}, by: dryrun.Sending{User: user, Time: time.Now()}, strict: query.Get("fieldValidation") == "Strict", dry: query.Get("dryRun") != ""}
	kind, err := m.admin.RESTMapper().KindFor(out.resource)
	if err != nil {
		return nil, "no such kind", nil
	}
	out.object = &unstructured.Unstructured{}
	switch mime := strings.Split(of.Header.Get("Content-Type"), ";")[0]; {
	case of.Method != http.MethodPatch:
		if out.object, err = decode(raw); err != nil {
			return nil, "unreadable", nil
		}
	case mime == "application/apply-patch+yaml":
		text, err := yaml.YAMLToJSON(raw)
		if err != nil || out.object.UnmarshalJSON(text) != nil {
			return nil, "unreadable", nil //nolint:nilerr // the API server says so, too
		}
		out.by.Way, out.by.Manager, out.by.Force = dryrun.ServerSide, query.Get("fieldManager"), query.Get("force") == "true"
	default:
		out.patch, out.patchType = raw, mime
	}
	out.object.SetGroupVersionKind(kind)
	if info.Namespace != "" && info.Resource != "namespaces" {
		out.object.SetNamespace(info.Namespace)
	}
	if of.Method != http.MethodPost {
		out.object.SetName(info.Name)
	}
	if of.Method == http.MethodPost {
		return out, "", nil
	}
	if err := m.stand(ctx, out); err != nil {
		return nil, "a patch that cannot be applied", nil //nolint:nilerr // the API server says so, too
	}
	if out.old == nil && (out.patch != nil || of.Method == http.MethodPut) {
		return nil, "nothing of the name is stored", nil
	}
	return out, "", nil
}

// stand reads what is stored under the name of what was sent, and what a patch makes of it.
func (m *mirror) stand(ctx context.Context, of *sent) error {
	of.old = nil
	if of.object.GetName() == "" {
		return nil
	}
	stored, err := m.live.Resource(of.resource).Namespace(of.object.GetNamespace()).Get(ctx, of.object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	of.old = stored
	if of.patch != nil {
		of.object, err = patched(of.patchType, of.patch, stored)
	}
	return err
}

// answer asks egressctl.
func (m *mirror) answer(ctx context.Context, of *sent) (verdict, error) {
	m.asking.Lock()
	defer m.asking.Unlock()
	if err := m.follow(); err != nil {
		return verdict{}, err
	}
	return m.ask(ctx, m.session, of)
}

// ask asks a session in which what is stored under the name is what the API server has there.
func (m *mirror) ask(ctx context.Context, session *dryrun.Session, of *sent) (out verdict, err error) {
	if of.object.GetName() != "" {
		now := session.Holds(of.object)
		if !sameVersion(now, of.old) {
			if err := put(session, now, of.old); err != nil {
				return out, err
			}
			defer func() { err = errors.Join(err, put(session, of.old, now)) }()
		}
	}
	of.by.Time = time.Now()
	object := of.object.DeepCopy()
	if held := session.Holds(object); held != nil && of.old != nil && object.GetResourceVersion() == of.old.GetResourceVersion() && sameSaid(held, of.old) {
		object.SetResourceVersion(held.GetResourceVersion()) // of a policy the session has not heard that its status is another
	}
	answer, stored, err := session.Rehearse(ctx, of.by, manifest.Object{Unstructured: object, File: "test"})
	if err != nil {
		return out, err
	}
	return said(answer, stored), nil
}

func sameVersion(a, b *unstructured.Unstructured) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.GetResourceVersion() == b.GetResourceVersion()
}

// same says whether both answers are the same. Which of several guards that deny says so is nobody's to choose: ours is asked for the
// API server's then.
func (m *mirror) same(ctx context.Context, of *sent, ours *verdict, theirs verdict) bool {
	if a, b := guardOf.FindStringSubmatch(ours.message), guardOf.FindStringSubmatch(theirs.message); a != nil && b != nil && a[1] != b[1] {
		m.asking.Lock()
		defer m.asking.Unlock()
		m.events.Lock()
		objects := map[string]*unstructured.Unstructured{}
		for name, object := range m.objects {
			objects[name] = object
		}
		m.events.Unlock()
		if session, err := m.build(objects, b[1]); err == nil {
			if alone, err := m.ask(ctx, session, of); err == nil {
				*ours = alone
			}
		}
	}
	return ours.comparable(of) == theirs.comparable(of)
}

// sameInPlace says whether both answer the same to what is stored by now, if it is sent once more in its own place.
func (m *mirror) sameInPlace(ctx context.Context, like *http.Request, next http.RoundTripper, of *sent) bool {
	if of.object.GetName() == "" {
		return false
	}
	place := &sent{object: of.object.DeepCopy(), resource: of.resource, by: dryrun.Sending{User: of.by.User}, strict: true, dry: true}
	if err := m.stand(ctx, place); err != nil || place.old == nil {
		return false
	}
	place.object.SetResourceVersion(place.old.GetResourceVersion())
	place.object.SetUID("")
	raw, err := place.object.MarshalJSON()
	if err != nil {
		return false
	}
	ask := again(like.WithContext(ctx), raw, true)
	ask.Method = http.MethodPut
	ask.Header.Set("Content-Type", "application/json")
	if !strings.HasSuffix(ask.URL.Path, "/"+place.object.GetName()) {
		ask.URL.Path += "/" + place.object.GetName()
	}
	response, err := next.RoundTrip(ask)
	if err != nil {
		return false
	}
	theirs, err := heard(response)
	if err != nil || theirs.none(place) != "" {
		return false
	}
	ours, err := m.answer(ctx, place)
	return err == nil && m.same(ctx, place, &ours, theirs)
}
