package policy_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
)

func selecting(name, team, rules string) *v1alpha1.EgressPolicy {
	out := inline(name, rules)
	out.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	return out
}

// teams are governed namespaces, by the name of each the label of its team.
func teams(of map[string]string) *egress.Namespaces {
	named := map[string]map[string]string{}
	for name, team := range of {
		named[name] = map[string]string{"team": team}
	}
	return egress.NewNamespaces(named)
}

// TestAPolicyIsAskedForTheClientsOfAnObject, each once, and is told for which.
func TestAPolicyIsAskedForTheClientsOfAnObject(t *testing.T) {
	t.Parallel()
	governed := teams(map[string]string{"own": "a", "shop": "b", "sales": "b", "ads": "c", "zoo": "b"})
	for name, tc := range map[string]struct {
		clients policy.Clients
		want    []string
	}{
		"nobody's":             {policy.Clients{Governed: governed}, []string{"a own  0"}},
		"its own":              {policy.Clients{Governed: governed, Names: []string{"own"}}, []string{"a own  0"}},
		"everybody's":          {policy.Clients{Governed: governed, All: true, Names: []string{"own"}}, []string{"a own  0", "b sales sales 2", "c ads ads 0"}},
		"one other's":          {policy.Clients{Governed: governed, Names: []string{"own", "shop"}}, []string{"a own  0", "b shop shop 0"}},
		"two others'":          {policy.Clients{Governed: governed, Names: []string{"zoo", "shop"}}, []string{"a own  0", "b shop shop 1"}},
		"of one not governed":  {policy.Clients{Governed: governed, Names: []string{"elsewhere"}}, []string{"a own  0"}},
		"of nobody governed":   {policy.Clients{All: true}, []string{"a own  0"}},
		"before any is known":  {policy.Clients{Governed: teams(nil), All: true}, []string{"a own  0"}},
		"known by old labels":  {policy.Clients{Governed: teams(map[string]string{"own": "b"}), All: true}, []string{"a own  0"}},
		"of one and all known": {policy.Clients{Governed: governed, All: true}, []string{"a own  0", "b sales sales 2", "c ads ads 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine(t)
			for _, team := range []string{"a", "b", "c", "d"} {
				require.NoError(t, e.Set(selecting(team, team, `deny contains input.client.name if input.client.labels.team == "`+team+`"`)))
			}
			in := review("x")
			in.Clients = tc.clients
			var got []string
			for _, v := range e.Evaluate(t.Context(), in).Denied {
				got = append(got, fmt.Sprintf("%s %s %s %d", v.Policy, v.Message, v.Client.Name, v.Client.More))
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// TestAClientIsNotTheNamespace: who writes the object stays who he is, and a kind that is not selected is not for a client
// either.
func TestAClientIsNotTheNamespace(t *testing.T) {
	t.Parallel()
	e := engine(t)
	p := selecting("p", "b", `deny contains sprintf("%s for %s", [input.namespace.name, input.client.name])`)
	require.NoError(t, e.Set(p))
	in := review("x")
	in.Document["namespace"] = map[string]any{"name": "own"}
	in.Clients = policy.Clients{Governed: teams(map[string]string{"shop": "b"}), All: true}
	got := e.Evaluate(t.Context(), in)
	require.Len(t, got.Denied, 1)
	assert.Equal(t, "own for shop", got.Denied[0].Message)
	p.Spec.Match.Kinds = []v1alpha1.Kind{"VirtualService"}
	require.NoError(t, e.Set(p))
	assert.Empty(t, e.Evaluate(t.Context(), in).Denied)
}

// TestAFailureNamesTheClient for which the policy was asked.
func TestAFailureNamesTheClient(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.Error(t, e.Set(selecting("p", "b", `deny contains`)))
	in := review("x")
	assert.Empty(t, e.Evaluate(t.Context(), in).Failed)
	in.Clients = policy.Clients{Governed: teams(map[string]string{"shop": "b"}), All: true}
	got := e.Evaluate(t.Context(), in)
	require.Len(t, got.Failed, 1)
	assert.Equal(t, policy.Client{Name: "shop"}, got.Failed[0].Client)
}

// counted counts how often the labels of a namespace are asked for.
type counted struct {
	*egress.Namespaces
	asked int
}

func (c *counted) At(i int) (string, map[string]string) {
	c.asked++
	return c.Namespaces.At(i)
}

// TestSelectionIsRemembered until a namespace or the policy changes.
func TestSelectionIsRemembered(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(selecting("p", "b", `deny contains "no"`)))
	denied := func(governed *counted) int {
		in := review("x")
		in.Clients = policy.Clients{Governed: governed, All: true}
		return len(e.Evaluate(t.Context(), in).Denied)
	}
	before := &counted{Namespaces: teams(map[string]string{"ads": "c", "shop": "c", "zoo": "c"})}
	for range 10 {
		assert.Zero(t, denied(before))
	}
	assert.Equal(t, 3, before.asked, "each namespace is matched once")
	after := &counted{Namespaces: teams(map[string]string{"ads": "c", "shop": "b", "zoo": "c"})}
	assert.Equal(t, 1, denied(after), "shop is another team's now")
	assert.Zero(t, denied(before), "what is remembered is of those namespaces alone")
	require.NoError(t, e.Set(selecting("p", "c", `deny contains "no"`)))
	assert.Equal(t, 1, denied(before), "the policy selects others")
}

// BenchmarkClients measures what it costs to find whom to ask for an object that 5,000 namespaces see: none of the policies
// selects any of them.
func BenchmarkClients(b *testing.B) {
	moment := func(changed int) *egress.Namespaces {
		of := map[string]string{}
		for i := range 5000 {
			of[fmt.Sprintf("namespace-%d", i)] = fmt.Sprintf("team-%d", i+changed)
		}
		return teams(of)
	}
	moments := []*egress.Namespaces{moment(0), moment(1)}
	e, err := policy.NewEngine(fstest.MapFS{})
	require.NoError(b, err)
	for i := range 100 {
		require.NoError(b, e.Set(selecting(fmt.Sprintf("p%d", i), fmt.Sprintf("nobody-%d", i), `deny contains "no"`)))
	}
	for name, next := range map[string]int{"namespaces=same": 0, "namespaces=changed": 1} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			in := review("x")
			for i := 0; b.Loop(); i++ {
				in.Clients = policy.Clients{Governed: moments[i*next%2], All: true}
				if decision := e.Evaluate(b.Context(), in); len(decision.Denied) != 0 {
					b.Fatal(decision)
				}
			}
		})
	}
}
