package controller

import (
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mapper is a RESTMapper that asks another once for each kind: a cache of some namespaces asks at every read whether a kind is in
// namespaces at all, which takes longer than the read.
type mapper struct {
	meta.RESTMapper
	known sync.Map // *meta.RESTMapping by mapped
}

// mapped is what is asked of a mapper.
type mapped struct {
	schema.GroupKind
	versions string
}

// RESTMapping implements meta.RESTMapper. A kind that is not known may come.
func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	of := mapped{kind, strings.Join(versions, ",")}
	if known, is := m.known.Load(of); is {
		return known.(*meta.RESTMapping), nil
	}
	out, err := m.RESTMapper.RESTMapping(kind, versions...)
	if err == nil {
		m.known.Store(of, out)
	}
	return out, err
}
