package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
)

// governs is a view of nothing but namespaces.
type governs struct {
	egress.View
	labels map[string]map[string]string
}

func (g governs) Governed() *egress.Namespaces { return egress.NewNamespaces(g.labels) }

// TestAPolicyThatSelectsNoNamespaceIsTold where there is one that it could select.
func TestAPolicyThatSelectsNoNamespaceIsTold(t *testing.T) {
	t.Parallel()
	named := func(name v1alpha1.NamespacePattern) v1alpha1.Match {
		return v1alpha1.Match{Namespaces: []v1alpha1.NamespacePattern{name}}
	}
	says := idle(governs{labels: map[string]map[string]string{"payments": nil, "shop": nil}})
	assert.Equal(t, "spec.match: it selects none of the namespaces that are governed now, which are 2: until it selects one, it judges nothing", says(named("paymnts")))
	assert.Empty(t, says(named("pay*")))
	assert.Empty(t, says(v1alpha1.Match{}))
	assert.Empty(t, idle(governs{})(named("paymnts")), "none is governed")
}
