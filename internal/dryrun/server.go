package dryrun

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// What the API server itself answers: before the webhook rewrites an object, and before it judges what was made of it.

// itself is in whose words a finding is that neither a policy nor the webhook has.
const itself = "API server"

// Codes of what the API server itself says no to.
const (
	codeUnreadable   = "unreadable"
	codeUnknownField = "unknown-field"
	codeInvalid      = "invalid"
	codeGuard        = "guard"
)

// guarded is the answer of a guard.
type guarded struct{ error }

// Unwrap returns the API server's words.
func (g guarded) Unwrap() error { return g.error }

// read returns an object as the API server has it before anybody is asked, made of a manifest by a function. The error is the API
// server's answer to one that it cannot read.
func (s *Session) read(object manifest.Object, merged func(manifest.Object) (*unstructured.Unstructured, error)) (*unstructured.Unstructured, error) {
	if s.server == nil {
		return object.Unstructured, nil
	}
	kind := object.GroupVersionKind()
	if _, governed := review.ResourceOf(kind.Kind); !governed {
		if err := s.server.Unmatched(kind); err != nil {
			return nil, err
		}
	}
	s.heard = append(s.heard, s.server.Deprecation(kind)...)
	return merged(object)
}

// asWritten reads a manifest that takes the place of what is stored.
func (s *Session) asWritten(object manifest.Object) (*unstructured.Unstructured, error) {
	return s.server.Read(object.Unstructured)
}

// define has the API server know a kind that an object defines.
func (s *Session) define(object manifest.Object) error {
	if s.server == nil || !apiserver.Defines(object.Unstructured) {
		return nil
	}
	return s.server.Put(object.Unstructured)
}

// admission implements render.Admission.
func (s *Session) admission(ctx context.Context, object, old *unstructured.Unstructured) error {
	if s.server == nil {
		return nil
	}
	warnings, err := s.server.Validate(ctx, object, old)
	if s.heard = append(s.heard, warnings...); err != nil {
		return err
	}
	user := s.options.User
	request := apiserver.Request{Object: object, Old: old, User: user.Name, Groups: user.Groups}
	if namespace := object.GetNamespace(); namespace != "" {
		request.Namespace = s.cluster.Get(core("Namespace", "", namespace))
	}
	warnings, err = s.server.Guard(ctx, request)
	if s.heard = append(s.heard, warnings...); err != nil {
		return guarded{err}
	}
	return nil
}

// no is the answer to an object that the API server says no to; the error is one of any other kind.
func no(out Answer, err error) (Answer, error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return out, err
	}
	said := status.Status()
	out.Verdict, out.Message = review.Refused, said.Message
	if of := (guarded{}); errors.As(err, &of) {
		out.Verdict = review.Denied
		out.Findings = append(out.Findings, guardFinding(said.Message, review.Denied))
		return out, nil
	}
	unknown := apiserver.Unknown(err)
	for _, field := range unknown {
		out.Findings = append(out.Findings, finding(codeUnknownField, field, "is no field of this kind"))
	}
	if said.Reason == metav1.StatusReasonConflict {
		out.Findings = append(out.Findings, conflicts(said)...)
	} else if said.Details != nil && len(unknown) == 0 {
		for _, cause := range said.Details.Causes {
			out.Findings = append(out.Findings, finding(codeInvalid, cause.Field, cause.Message))
		}
	}
	if len(out.Findings) == 0 {
		out.Findings = append(out.Findings, finding(codeUnreadable, "", said.Message))
	}
	return out, nil
}

func finding(code, field, message string) review.Finding {
	if field == "<nil>" { // what the API server says of the object as a whole
		field = ""
	}
	return review.Finding{Finding: egress.Finding{Code: code, Field: field, Message: message}, Policy: itself, Effect: review.Refused}
}

// saidByGuard is how the API server begins the words of a guard; fieldOf is how our guards begin them.
var (
	saidByGuard = regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)'(?: with binding '[^']+')?(?: denied request)?: `)
	fieldOf     = regexp.MustCompile(`^((?:metadata|spec|status|endpoints|subsets)[A-Za-z.]*(?:\[[^\]]*\])?): `)
)

// guardFinding is what a guard found, taken from its words.
func guardFinding(words string, effect review.Effect) review.Finding {
	out := review.Finding{Finding: egress.Finding{Code: codeGuard, Message: words}, Effect: effect}
	if match := saidByGuard.FindStringSubmatchIndex(words); match != nil {
		out.Policy, out.Message = words[match[2]:match[3]], words[match[1]:]
	}
	if match := fieldOf.FindStringSubmatch(out.Message); match != nil {
		out.Field, out.Message = match[1], out.Message[len(match[0]):]
	}
	out.Message, out.Fix, _ = strings.Cut(out.Message, " Fix: ")
	return out
}

// warn adds what the API server warned of before the webhook judged.
func (a *Answer) warn(heard []string) {
	a.Warnings = slices.Concat(heard, a.Warnings)
	for _, words := range heard {
		if !saidByGuard.MatchString(words) {
			continue
		}
		a.Findings = append(a.Findings, guardFinding(words, review.Warned))
	}
}
