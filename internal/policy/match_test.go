package policy_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
)

func matching(of v1alpha1.Match) *v1alpha1.EgressPolicy {
	out := inline("p", `deny contains input.client.name`)
	out.Spec.Match = of
	return out
}

// TestNamespacesByTheirNames: whatever is given must hold, and what is excluded is out in any case.
func TestNamespacesByTheirNames(t *testing.T) {
	t.Parallel()
	named := func(names ...v1alpha1.NamespacePattern) v1alpha1.Match { return v1alpha1.Match{Namespaces: names} }
	but := func(names ...v1alpha1.NamespacePattern) v1alpha1.Match { return v1alpha1.Match{Exclude: names} }
	team := &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
	for own, cases := range map[string]map[bool][]v1alpha1.Match{
		"team-a": {
			true: {
				named("team-a"), named("x", "team-a"), named("team-*"), named("*"), named("*-a"), named("t*m*a"), named("*eam*"), named("team-a*"), named("te*-*a"),
				but("team-b"), but("team"), but("*-b"), but("team-a-*"), {Namespaces: []v1alpha1.NamespacePattern{"team-*"}, NamespaceSelector: team},
				{Namespaces: []v1alpha1.NamespacePattern{"team-*"}, Exclude: []v1alpha1.NamespacePattern{"team-b"}},
			},
			false: {
				named("team"), named("team-aa"), named("eam-a"), named("team-b*"), named("b*"), named("*b"), named("team-a*a"), named("te*e*e*"),
				but("team-a"), but("team-*"), but("b", "*a"), {Namespaces: []v1alpha1.NamespacePattern{"other"}, NamespaceSelector: team},
				{Namespaces: []v1alpha1.NamespacePattern{"team-a"}, Exclude: []v1alpha1.NamespacePattern{"team-*"}},
				{NamespaceSelector: team, Exclude: []v1alpha1.NamespacePattern{"team-a"}},
				{Namespaces: []v1alpha1.NamespacePattern{"team-*"}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}},
			},
		},
		"a": {true: {named("a*"), named("*a"), named("*a*")}, false: {named("a*a"), named("a-*")}},
	} {
		for want, matches := range cases {
			for _, match := range matches {
				e := engine(t)
				require.NoError(t, e.Set(matching(match)))
				in := review("x")
				in.Namespace.Name = own
				assert.Equal(t, want, len(e.Evaluate(t.Context(), in).Denied) == 1, "%s by %+v", own, match)
				assert.Equal(t, want, policy.Selects(match, egress.NewNamespaces(map[string]map[string]string{own: in.Namespace.Labels})), "%s by %+v", own, match)
			}
		}
	}
}

// TestClientsByTheirNames: a policy counts for what is exported to whom it selects, also from a namespace that it excludes.
func TestClientsByTheirNames(t *testing.T) {
	t.Parallel()
	for want, match := range map[string]v1alpha1.Match{
		"sales 1": {Namespaces: []v1alpha1.NamespacePattern{"s*"}},
		"shop 0":  {Namespaces: []v1alpha1.NamespacePattern{"s*"}, Exclude: []v1alpha1.NamespacePattern{"sales", "own"}},
		"ads 2":   {Exclude: []v1alpha1.NamespacePattern{"own"}},
		"":        {Namespaces: []v1alpha1.NamespacePattern{"s*", "ads"}, Exclude: []v1alpha1.NamespacePattern{"s*", "ads"}},
	} {
		e := engine(t)
		require.NoError(t, e.Set(matching(match)))
		in := review("x")
		in.Clients = policy.Clients{Governed: teams(map[string]string{"own": "a", "shop": "b", "sales": "b", "ads": "c"}), All: true}
		got := ""
		for _, v := range e.Evaluate(t.Context(), in).Denied {
			assert.Equal(t, v.Message, v.Client.Name)
			got = v.Client.Name + " " + string(rune('0'+v.Client.More))
		}
		assert.Equal(t, want, got, "%+v", match)
	}
}

// TestObjectsByTheirLabels, in the form in which they come.
func TestObjectsByTheirLabels(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(matching(v1alpha1.Match{ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "new"}}})))
	for want, set := range map[int]map[string]string{0: {"tier": "old"}, 1: {"tier": "new", "more": "x"}} {
		in := review("x")
		in.Labels = set
		assert.Len(t, e.Evaluate(t.Context(), in).Denied, want)
	}
	assert.Empty(t, e.Evaluate(t.Context(), review("x")).Denied, "without labels")
}

// TestThoseWhoAreExcludedBreakTheGlass: also that of a policy that cannot be evaluated. Nobody's request is nobody's to exclude.
func TestThoseWhoAreExcludedBreakTheGlass(t *testing.T) {
	t.Parallel()
	e := engine(t)
	match := v1alpha1.Match{ExcludeUsers: []v1alpha1.UserName{"ann"}, ExcludeGroups: []v1alpha1.UserName{"fire:fighters"}}
	for name, rules := range map[string]string{"b": `deny contains "no"`, "a": `deny contains "no" if to_number(input.name) == 1`} {
		p := inline(name, rules)
		p.Spec.Match = match
		require.NoError(t, e.Set(p))
	}
	other := inline("c", `deny contains "no"`)
	other.Spec.Match.Namespaces = []v1alpha1.NamespacePattern{"other"}
	other.Spec.Match.ExcludeUsers = match.ExcludeUsers
	require.NoError(t, e.Set(other))
	for _, tc := range []struct {
		user   policy.User
		exempt []string
	}{
		{policy.User{Name: "ann"}, []string{"a", "b"}},
		{policy.User{Name: "bob", Groups: []string{"x", "fire:fighters"}}, []string{"a", "b"}},
		{policy.User{Name: "bob", Groups: []string{"ann"}}, nil},
		{policy.User{Name: "fire:fighters"}, nil},
		{policy.User{Name: "Ann"}, nil},
		{policy.User{}, nil},
		{policy.User{Groups: []string{""}}, nil},
	} {
		in := review("x")
		in.User = tc.user
		got := e.Evaluate(t.Context(), in)
		assert.Equal(t, tc.exempt, got.Exempt, "%v", tc.user)
		assert.Equal(t, tc.exempt != nil, got.Asked == nil, "%v", tc.user)
		assert.Equal(t, tc.exempt == nil, len(got.Denied) == 1 && len(got.Failed) == 1, "%v", tc.user)
		document, err := e.Input("b", in)
		require.NoError(t, err)
		assert.Equal(t, tc.exempt == nil, document != nil, "whoever is not held to it is not asked about")
	}
}

// TestAMatchThatCannotBeReadIsRefused, and one that is stored all the same selects everything and excludes nobody.
func TestAMatchThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	bad := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}
	for says, match := range map[string]v1alpha1.Match{
		`spec.match.namespaces[1]: "Team"`: {Namespaces: []v1alpha1.NamespacePattern{"ok", "Team"}},
		`spec.match.namespaces[0]: ""`:     {Namespaces: []v1alpha1.NamespacePattern{""}},
		`spec.match.namespaces[0]: "aaaa`:  {Namespaces: []v1alpha1.NamespacePattern{v1alpha1.NamespacePattern(strings.Repeat("a", 64))}},
		`spec.match.exclude[0]: "own?"`:    {Exclude: []v1alpha1.NamespacePattern{"own?"}},
		`spec.match.exclude[1]: would`:     {Exclude: []v1alpha1.NamespacePattern{"own", "**"}},
		`spec.match.objectSelector: `:      {ObjectSelector: &bad},
		`spec.match.namespaceSelector: `:   {NamespaceSelector: &bad},
		`spec.match.excludeUsers[0]: `:     {ExcludeUsers: []v1alpha1.UserName{""}},
		`spec.match.excludeGroups[1]: sys`: {ExcludeGroups: []v1alpha1.UserName{"x", "system:authenticated"}},
	} {
		e := engine(t)
		require.ErrorContains(t, e.Check(matching(match)), says)
		require.Error(t, e.Set(matching(match)))
		in := review("x")
		in.User = policy.User{Groups: []string{"", "system:authenticated"}}
		assert.Len(t, e.Evaluate(t.Context(), in).Failed, 1, says)
	}
}

// TestEveryPartOfAMatchIsRead: each field of a match that is new narrows something here.
func TestEveryPartOfAMatchIsRead(t *testing.T) {
	t.Parallel()
	none := v1alpha1.NamespacePattern("none")
	narrow := map[string]v1alpha1.Match{
		"namespaceSelector": {NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}},
		"namespaces":        {Namespaces: []v1alpha1.NamespacePattern{none}},
		"exclude":           {Exclude: []v1alpha1.NamespacePattern{"own"}},
		"objectSelector":    {ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}},
		"excludeUsers":      {ExcludeUsers: []v1alpha1.UserName{"ann"}},
		"excludeGroups":     {ExcludeGroups: []v1alpha1.UserName{"staff"}},
		"kinds":             {Kinds: []v1alpha1.Kind{"Gateway"}},
	}
	assert.Equal(t, fieldsOf[v1alpha1.Match](), slices.Sorted(maps.Keys(narrow)))
	for field, match := range narrow {
		e := engine(t)
		require.NoError(t, e.Set(matching(match)))
		in := review("x")
		in.User = policy.User{Name: "ann", Groups: []string{"staff"}}
		assert.Empty(t, e.Evaluate(t.Context(), in).Denied, field)
	}
}

// fieldsOf returns the fields of a type as they are written, sorted.
func fieldsOf[T any]() (out []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// TestNamesThatNobodyHasAreTold, each at its place.
func TestNamesThatNobodyHasAreTold(t *testing.T) {
	t.Parallel()
	of := v1alpha1.Match{Namespaces: []v1alpha1.NamespacePattern{"payments", "team-*", "*-prod"}, Exclude: []v1alpha1.NamespacePattern{"shop", "nope"}}
	assert.Equal(t, []string{`spec.match.namespaces[2] ("*-prod")`, `spec.match.exclude[1] ("nope")`}, policy.Nobody(of, []string{"payments", "shop", "team-a"}))
	assert.Empty(t, policy.Nobody(v1alpha1.Match{}, nil))
}
