package checkup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// view is a snapshot, and what was seen in it.
type view struct {
	*Snapshot
	findings []Finding
	unknown  []string
}

func (v *view) find(finding Finding) { v.findings = append(v.findings, finding) }

// cannot says what could not be looked at, once.
func (v *view) cannot(reason string) {
	if !slices.Contains(v.unknown, reason) {
		v.unknown = append(v.unknown, reason)
	}
}

// problems takes over what preflight finds of some codes.
func (v *view) problems(severity Severity, codes ...string) {
	if v.ProblemsUnread != nil {
		v.cannot(v.ProblemsUnread.Error())
	}
	for _, problem := range v.Problems {
		if !slices.Contains(codes, problem.Code) {
			continue
		}
		object := ""
		if problem.Gateway != "" {
			object = "egress gateway " + problem.Gateway
		}
		message, why, _ := strings.Cut(problem.Message, ": ")
		v.find(Finding{Code: problem.Code, Severity: severity, Object: object, Message: message, Why: why, Fix: problem.Fix})
	}
}

// all returns the objects of a resource as their type. One that is not of it is not looked at, and that is said.
func all[T any](v *view, resource schema.GroupResource) (out []T) {
	for _, object := range v.Objects[resource] {
		one, err := as[T](object)
		if err != nil {
			v.cannot(fmt.Sprintf("%s: %s", title(object), err))
			continue
		}
		out = append(out, one)
	}
	return out
}

func as[T any](object *unstructured.Unstructured) (out T, err error) {
	if object == nil {
		return out, errors.New("there is none")
	}
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &out)
}

// named returns one of a resource, nil for none.
func (v *view) named(resource schema.GroupResource, namespace, name string) *unstructured.Unstructured {
	for _, object := range v.Objects[resource] {
		if object.GetNamespace() == namespace && object.GetName() == name {
			return object
		}
	}
	return nil
}

func title(object *unstructured.Unstructured) string {
	return titleOf(object.GetKind(), object.GetNamespace(), object.GetName())
}

func titleOf(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return kind + " " + name
}

// most is how many names a sentence has.
const most = 5

// some names the first of them, sorted.
func some(names []string) string {
	names = slices.Sorted(slices.Values(names))
	out := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		out += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return out
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// byName sorts objects.
func byName(a, b *unstructured.Unstructured) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}
