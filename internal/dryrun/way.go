package dryrun

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Way is how manifests reach the API server.
type Way string

// The ways. They differ where something is stored under the name of a manifest.
const (
	// Replace is kubectl create, and kubectl replace: a manifest takes the place of what is stored.
	Replace Way = ""
	// ClientSide is kubectl apply: a manifest is merged into what is stored, by kubectl.
	ClientSide Way = "ClientSide"
	// ServerSide is kubectl apply --server-side: it is merged by the API server, by who owns which field.
	ServerSide Way = "ServerSide"
)

// Sending says by whom, when and how objects reach the API server.
type Sending struct {
	// Time is when objects are applied, User by whom.
	Time time.Time
	User review.User
	// Way is how; by ServerSide as Manager, who with Force takes over what others own.
	Way     Way
	Manager string
	Force   bool
}

// Rehearse answers one object as Answer does, sent otherwise, and stores nothing, as kubectl apply --dry-run=server. It returns what
// would be stored besides, nil for nothing.
func (s *Session) Rehearse(ctx context.Context, by Sending, object manifest.Object) (out Answer, stored *unstructured.Unstructured, err error) {
	send := func(by Sending) {
		s.options.Sending = by
		s.cluster.SetUser(by.User)
		s.cluster.SetTime(by.Time)
	}
	defer send(s.options.Sending)
	send(by)
	stored = s.cluster.Rehearse(func() { out, err = s.Answer(ctx, object) })
	if !out.Allowed() {
		stored = nil
	}
	return out, stored, err
}

// pasted is the API server's answer to an object that was copied from a cluster and is to be created in another.
type pasted struct{}

// Error implements error.
func (p pasted) Error() string { return p.Status().Message }

// Status implements apierrors.APIStatus.
func (pasted) Status() metav1.Status {
	return metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "resourceVersion should not be set on objects to be created",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: ofVersion, Message: "should not be set on objects to be created"}}},
	}
}

// ofVersion is the field by which it is told what an author had read.
const ofVersion = "metadata.resourceVersion"

// isPasted says whether an object has a version of another cluster's, or of one that is gone.
func (s *Session) isPasted(object manifest.Object) bool {
	return s.server != nil && s.options.Way != ServerSide && object.GetResourceVersion() != "" && s.cluster.Get(object.Unstructured) == nil
}

// codeConflict is the code of a field that somebody else owns who applied it.
const codeConflict = "conflict"

// merged returns what the API server makes of a manifest by the way in which it is sent, before anybody is asked. The error is its answer
// to what it cannot read, or where others own what the manifest has otherwise.
func (s *Session) merged(object manifest.Object) (*unstructured.Unstructured, error) {
	// kubectl applies nothing whose name it does not know; it creates that.
	if s.options.Way == Replace || object.GetName() == "" {
		return s.server.Read(object.Unstructured)
	}
	stored := s.cluster.Get(object.Unstructured)
	if s.options.Way == ClientSide {
		return s.server.Applied(object.Unstructured, stored)
	}
	force := s.options.Force
	if stored != nil && !apiserver.Managed(stored) {
		s.unmanaged, force = append(s.unmanaged, manifest.Name(stored)), true
	}
	return s.server.ServerSide(object.Unstructured, stored, s.options.Manager, force)
}

// Unmanaged returns the stored objects, as kubectl names them, of which it was not known who owns their fields where that counted.
func (s *Session) Unmanaged() []string { return s.unmanaged }

// conflicts are the findings about fields that somebody else owns, or about what is stored being another than its author had read.
func conflicts(said metav1.Status) (out []review.Finding) {
	var causes []metav1.StatusCause
	if said.Details != nil {
		causes = said.Details.Causes
	}
	for _, cause := range causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		of := finding(codeConflict, strings.TrimPrefix(cause.Field, "."), cause.Message)
		of.Fix = "leave the field to its owner; or take it over, by --force-conflicts"
		if !slices.ContainsFunc(out, func(other review.Finding) bool { return fmt.Sprint(other) == fmt.Sprint(of) }) {
			out = append(out, of)
		}
	}
	if len(out) == 0 {
		of := finding(codeConflict, ofVersion, "is another than that of what is stored")
		of.Fix = "leave metadata.resourceVersion out of the manifest"
		out = append(out, of)
	}
	return out
}
