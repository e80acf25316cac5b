package apiserver

import (
	"bytes"
	_ "embed" // Istio's definitions
	"fmt"
	"regexp"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/charts"
)

// istio is what istio.io/api has for its CRDs; make generate copies it.
//
//go:embed istio.yaml
var istio []byte

// definition is a kind that a CustomResourceDefinition defines. Nothing of it is read before it is needed.
type definition struct {
	read     func() (*apiextensionsv1.CustomResourceDefinition, error)
	lock     sync.Mutex
	versions map[string]*version
	// typed has the fields of all versions, for server-side apply.
	typed managedfields.TypeConverter
}

// version is one of a kind's, compiled.
type version struct {
	crd        *apiextensionsv1.CustomResourceDefinition
	structural *structuralschema.Structural
	schema     apiservervalidation.SchemaValidator
	rules      *cel.Validator
	// status says that status is written by a subresource of its own.
	status bool
}

func defined(crd *apiextensionsv1.CustomResourceDefinition) *definition {
	return &definition{read: func() (*apiextensionsv1.CustomResourceDefinition, error) { return crd, nil }, versions: map[string]*version{}}
}

func parsed(text []byte) *definition {
	read := sync.OnceValues(func() (*apiextensionsv1.CustomResourceDefinition, error) {
		out := &apiextensionsv1.CustomResourceDefinition{}
		return out, yaml.Unmarshal(text, out)
	})
	return &definition{read: read, versions: map[string]*version{}}
}

var (
	groupLine = regexp.MustCompile(`(?m)^  group: (\S+)$`)
	kindLine  = regexp.MustCompile(`(?m)^    kind: (\S+)$`)
)

// ours returns the definitions that this program comes with: Istio's and EgressPolicy's.
var ours = sync.OnceValue(func() map[schema.GroupKind]*definition {
	texts := bytes.Split(istio, []byte("\n---\n"))
	if own, err := charts.Folder.ReadFile("egress-governor/templates/crd-egresspolicies.yaml"); err == nil {
		texts = append(texts, own)
	}
	out := map[schema.GroupKind]*definition{}
	for _, text := range texts {
		group, kind := groupLine.FindSubmatch(text), kindLine.FindSubmatch(text)
		if group != nil && kind != nil {
			out[schema.GroupKind{Group: string(group[1]), Kind: string(kind[1])}] = parsed(text)
		}
	}
	return out
})

// Unmatched returns what kubectl says of a kind, or of a version of one, that its group does not have; nil for those of groups of which
// nothing is known.
func (s *Server) Unmatched(kind schema.GroupVersionKind) error {
	for known := range s.definitions {
		if known.Group != kind.Group {
			continue
		}
		if of, err := s.versionOf(kind); of != nil || err != nil {
			return err
		}
		return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
	}
	return nil
}

// versionOf returns the kind of an object, compiled; nil for one that nobody defines, or does not serve.
func (s *Server) versionOf(kind schema.GroupVersionKind) (*version, error) {
	of := s.definitions[kind.GroupKind()]
	if of == nil {
		return nil, nil
	}
	of.lock.Lock()
	defer of.lock.Unlock()
	if known, is := of.versions[kind.Version]; is {
		return known, nil
	}
	crd, err := of.read()
	if err != nil {
		return nil, fmt.Errorf("CustomResourceDefinition of %s: %w", kind.GroupKind(), err)
	}
	for i := range crd.Spec.Versions {
		if each := &crd.Spec.Versions[i]; each.Name == kind.Version && each.Served {
			if of.versions[kind.Version], err = compiled(crd, each); err != nil {
				return nil, fmt.Errorf("CustomResourceDefinition %s: %w", crd.Name, err)
			}
		}
	}
	return of.versions[kind.Version], nil
}

// compiled makes of a version what the API server makes of it when it is to be served.
func compiled(crd *apiextensionsv1.CustomResourceDefinition, of *apiextensionsv1.CustomResourceDefinitionVersion) (*version, error) {
	out := &version{crd: crd, status: of.Subresources != nil && of.Subresources.Status != nil}
	if of.Schema == nil || of.Schema.OpenAPIV3Schema == nil {
		return nil, fmt.Errorf("version %s has no schema", of.Name)
	}
	internal := &apiextensions.CustomResourceValidation{}
	err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(of.Schema.DeepCopy(), internal, nil)
	if err != nil {
		return nil, err
	}
	if out.structural, err = structuralschema.NewStructural(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	out.structural = out.structural.DeepCopy()
	if err := structuraldefaulting.PruneDefaults(out.structural); err != nil {
		return nil, err
	}
	if out.schema, _, err = apiservervalidation.NewSchemaValidator(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	out.rules = cel.NewValidator(out.structural, true, celconfig.PerCallLimit)
	return out, nil
}

// resource returns the name under which a kind is served, and what maps its versions to each other.
func (s *Server) resource(kind schema.GroupVersionKind, of *version) (schema.GroupVersionResource, runtime.EquivalentResourceMapper) {
	out, mapper := plural(kind), runtime.NewEquivalentResourceRegistry()
	if of == nil {
		mapper.RegisterKindFor(out, "", kind)
		return out, mapper
	}
	out.Resource = of.crd.Spec.Names.Plural
	for _, each := range of.crd.Spec.Versions {
		kind.Version = each.Name
		mapper.RegisterKindFor(schema.GroupVersionResource{Group: kind.Group, Version: each.Name, Resource: out.Resource}, "", kind)
	}
	return out, mapper
}
