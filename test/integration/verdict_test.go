package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// verdict is one of both answers, in full.
type verdict struct {
	verdict  review.Verdict
	message  string
	warnings []string
	// causes are code, field and message of a denial.
	causes []string
	// form is what is stored, as far as the author or egress-governor wrote it.
	form map[string]any
	// status is the API server's no.
	status *metav1.Status
}

func (v verdict) stored() bool { return v.verdict == review.Allowed }

// text is the whole of an answer.
func (v verdict) text() string {
	form, err := yaml.Marshal(v.form)
	if err != nil {
		form = []byte(err.Error())
	}
	return fmt.Sprintf("  %s: %s\n  warnings: %q\n  causes: %q\n%s", v.verdict, v.message, v.warnings, v.causes, form)
}

// comparable is what must be the same of two answers to what was sent.
func (v verdict) comparable(of *sent) string {
	object := manifest.Object{Unstructured: of.object}
	v.warnings = slices.Sorted(slices.Values(ofAdmission(object, v.warnings)))
	if !judgedHere(of.object) {
		v.form = nil
	}
	if of.patch != nil {
		// A patch that makes something unreadable is answered with all that it makes, and the same words behind that.
		v.message = ofReading.ReplaceAllString(v.message, "")
	}
	return made.ReplaceAllString(v.text(), `-*"`)
}

// guardOf names the guard that denies. Which of several says so first is nobody's to choose.
var guardOf = regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: `)

// ofAdmission leaves out what Kubernetes warns of its own kinds, which no library has.
func ofAdmission(object manifest.Object, heard []string) []string {
	if _, governed := review.ResourceOf(object.GetKind()); governed || strings.Contains(object.GetAPIVersion(), "istio.io/") || object.GetKind() == "EgressPolicy" {
		return heard
	}
	return slices.DeleteFunc(slices.Clone(heard), func(text string) bool { return !strings.Contains(text, "ValidatingAdmissionPolicy") })
}

// strict has the API server take no field that it does not know, as kubectl does.
const strict = client.FieldValidation("Strict")

// ofReading is how the API server begins to say that it cannot read an object, or what a patch makes of one.
var ofReading = regexp.MustCompile(`(?s)^( "" is invalid: patch: Invalid value: ".*": |[A-Za-z]+ in version "[a-z0-9]+" cannot be handled as a [A-Za-z]+: )`)

// judgedHere says whether all that is asked of an object is asked by egressctl, too.
func judgedHere(object *unstructured.Unstructured) bool {
	_, governed := review.ResourceOf(object.GetKind())
	return governed && strings.Contains(object.GetAPIVersion(), "/") || strings.Contains(object.GetAPIVersion(), "istio.io/") || object.GetKind() == "EgressPolicy"
}

// said is egressctl's answer.
func said(of dryrun.Answer, stored *unstructured.Unstructured) verdict {
	out := verdict{verdict: of.Verdict, message: of.Message, warnings: of.Warnings}
	if of.Allowed() {
		out.verdict, out.form = review.Allowed, formOf(stored)
	}
	if of.Verdict == review.Denied && guardOf.FindString(of.Message) == "" {
		for _, finding := range of.Findings {
			if finding.Effect == review.Denied || finding.Effect == review.Refused || finding.Effect == review.Failed {
				out.causes = append(out.causes, finding.Code+" "+finding.Field+" "+finding.Message)
			}
		}
		out.causes = out.causes[:min(len(out.causes), review.MaxReasons)]
	}
	return out
}

// formOf is what authors and egress-governor write of an object.
func formOf(object *unstructured.Unstructured) map[string]any {
	if object == nil {
		return nil
	}
	out := map[string]any{"spec": object.Object["spec"], "finalizers": object.GetFinalizers()}
	for title, values := range map[string]map[string]string{"labels": object.GetLabels(), "annotations": object.GetAnnotations()} {
		if len(values) > 0 {
			out[title] = values
		}
	}
	return out
}

// heard reads the API server's answer, and leaves it as it was.
func heard(response *http.Response) (out verdict, err error) {
	raw, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(raw))
	if err != nil {
		return out, err
	}
	warned, _ := utilnet.ParseWarningHeaders(response.Header["Warning"])
	for _, of := range warned {
		out.warnings = append(out.warnings, of.Text)
	}
	object, err := decode(raw)
	if err != nil {
		return out, fmt.Errorf("answer %s: %w: %s", response.Status, err, short(raw))
	}
	if response.StatusCode < 300 {
		out.verdict, out.form = review.Allowed, formOf(object)
		return out, nil
	}
	out.status = &metav1.Status{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, out.status); err != nil {
		return out, err
	}
	out.message = denied.ReplaceAllString(out.status.Message, "")
	out.verdict = review.Refused
	ours := out.message != out.status.Message
	switch {
	case ours && out.status.Code == http.StatusForbidden, guardOf.FindString(out.message) != "":
		out.verdict = review.Denied
	case ours && out.status.Code == http.StatusInternalServerError:
		out.verdict = review.Failed
	}
	if ours && out.verdict == review.Denied && out.status.Details != nil {
		for _, cause := range out.status.Details.Causes {
			out.causes = append(out.causes, string(cause.Type)+" "+cause.Field+" "+cause.Message)
		}
	}
	return out, nil
}

// none says why there is nothing to compare in an answer of the API server's: it is not about the object, or is nothing that egressctl
// claims to know. Empty says that it must be egressctl's, too.
func (v verdict) none(of *sent) string {
	unknown := slices.ContainsFunc(v.warnings, func(text string) bool {
		return strings.Contains(text, "unknown field") || strings.Contains(text, "duplicate field")
	})
	switch says := ""; {
	case v.status == nil && of.dry && of.old == nil && of.object.GetResourceVersion() != "":
		return "a version of a new object, which nobody looks at where nothing is stored"
	case !of.strict && unknown:
		return "fields that nobody knows, not sent as kubectl does"
	case v.status == nil:
		return says
	}
	conflict := v.status.Details != nil && slices.ContainsFunc(v.status.Details.Causes, func(cause metav1.StatusCause) bool { return cause.Type == metav1.CauseTypeFieldManagerConflict })
	webhook := strings.HasPrefix(v.status.Message, "admission webhook ")
	switch {
	case v.status.Reason == metav1.StatusReasonConflict && conflict:
		return ""
	case slices.Contains([]metav1.StatusReason{metav1.StatusReasonAlreadyExists, metav1.StatusReasonNotFound, metav1.StatusReasonMethodNotAllowed}, v.status.Reason):
		return string(v.status.Reason)
	case v.status.Reason == metav1.StatusReasonForbidden && strings.Contains(v.status.Message, "is forbidden: User "):
		return "rights"
	case strings.Contains(v.status.Message, "because it is being terminated"):
		return "a namespace that ends"
	case strings.Contains(v.status.Message, "Precondition failed: UID in precondition"):
		return "kubectl replace of an object that is another's"
	case strings.Contains(v.status.Message, "failed calling webhook"):
		return "the webhook did not answer"
	case webhook && !denied.MatchString(v.status.Message):
		return "somebody else's webhook"
	case !judgedHere(of.object) && guardOf.FindString(v.message) == "" && !webhook:
		return "rules of Kubernetes' own kinds"
	}
	return ""
}

// decode reads an object as it is on the wire.
func decode(raw []byte) (*unstructured.Unstructured, error) {
	out := &unstructured.Unstructured{}
	if len(raw) > 0 && raw[0] == '{' {
		return out, out.UnmarshalJSON(raw)
	}
	typed, kind, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		return nil, err
	}
	if out.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err != nil {
		return nil, err
	}
	out.SetGroupVersionKind(*kind)
	return out, nil
}

// patched is what a patch makes of what is stored.
func patched(mime string, patch []byte, stored *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	current, err := stored.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var raw []byte
	switch mime {
	case "application/json-patch+json":
		steps, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, err
		}
		raw, err = steps.Apply(current)
		if err != nil {
			return nil, err
		}
	case "application/merge-patch+json":
		raw, err = jsonpatch.MergePatch(current, patch)
	case "application/strategic-merge-patch+json":
		of, wrong := scheme.Scheme.New(stored.GroupVersionKind())
		if wrong != nil {
			return nil, wrong
		}
		raw, err = strategicpatch.StrategicMergePatch(current, patch, of)
	default:
		err = fmt.Errorf("patch of type %s", mime)
	}
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	return out, out.UnmarshalJSON(raw)
}
