package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// withReports lists those that are stored.
type withReports struct{ *stage }

func (r withReports) Get(ctx context.Context, name client.ObjectKey, into client.Object, options ...client.GetOption) error {
	return r.live.Get(ctx, name, into, options...)
}

func (r withReports) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	partial, is := list.(*metav1.PartialObjectMetadataList)
	if !is {
		return r.live.List(ctx, list, options...)
	}
	for key, version := range r.kept {
		if key.Kind+"List" == partial.Kind {
			partial.Items = append(partial.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, ResourceVersion: version}})
		}
	}
	return nil
}

// reporting is a stage in a cluster that has Reports, of three entries that violate a policy.
func reporting(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.Live, s.Writer = withReports{s}, s.cluster
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(reportKinds[1].namespaced, meta.RESTScopeNamespace)
	mapper.Add(reportKinds[1].cluster, meta.RESTScopeRoot)
	s.Kinds = mapper
	for i := range 3 {
		s.store("app", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.test", i))
	}
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	return s
}

// TestReportsAreOfTheKindsThatTheClusterHas, and written when something changed.
func TestReportsAreOfTheKindsThatTheClusterHas(t *testing.T) {
	t.Parallel()
	s := reporting(t)
	s.kept[objectKey{"Report", "left", "egress-governor-2"}] = "1"
	has := s.Kinds
	s.Kinds = meta.NewDefaultRESTMapper(nil)
	s.audited()
	assert.Empty(t, s.writes, "the cluster has none")

	s.Kinds = has
	s.audited()
	require.Len(t, s.writes, 3)
	all := strings.Join(s.writes, "\n")
	assert.Equal(t, 1, strings.Count(all, "kind: Report\n"))
	assert.Equal(t, 1, strings.Count(all, "kind: ClusterReport\n"))
	assert.Contains(t, all, "delete Report left/egress-governor-2")
	assert.Contains(t, all, "fail: 3\n")
	assert.Contains(t, all, "message: 3 violations in what is stored")
	assert.Contains(t, all, "rule: host-not-allowed")
	s.writes = nil
	s.audited()
	assert.Empty(t, s.writes, "nothing changed")

	s.hosts("p", 2, v1alpha1.Report, `"*.test"`)
	s.audited()
	all = strings.Join(s.writes, "\n")
	assert.Contains(t, all, "delete Report app/egress-governor\n")
	assert.Contains(t, all, "result: pass")
}

// TestAReportIsAsItWasWrittenAfterEachWholePass, whoever deleted or changed it; the others are not written for that.
func TestAReportIsAsItWasWrittenAfterEachWholePass(t *testing.T) {
	t.Parallel()
	report := objectKey{"Report", "app", "egress-governor"}
	for name, harm := range map[string]func(s *stage){
		"deleted": func(s *stage) { delete(s.kept, report) },
		"changed": func(s *stage) { s.kept[report] = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := reporting(t)
			s.audited()
			s.writes = nil
			harm(s)
			s.audited()
			require.Len(t, s.writes, 1)
			assert.Contains(t, s.writes[0], "kind: Report\n")
			assert.Contains(t, s.writes[0], "fail: 3\n")
			s.audited()
			assert.Len(t, s.writes, 1)
		})
	}
}

// TestAPolicyThatCannotTellIsNoPass.
func TestAPolicyThatCannotTellIsNoPass(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.found = violating(2, review.Failed, "broken")
	s.policies = map[string]policyState{"broken": {}, "fine": {}}
	_, cluster := s.results()
	require.Len(t, cluster, 2)
	assert.Equal(t, "error", cluster[0].(map[string]any)["result"])
	assert.Equal(t, "could not be evaluated for 2 stored objects", cluster[0].(map[string]any)["message"])
	assert.Equal(t, "pass", cluster[1].(map[string]any)["result"])
	violations, failures := s.violationsOf()
	assert.Zero(t, violations["broken"])
	assert.EqualValues(t, 2, failures["broken"].count)
}

// TestAPolicyThatFailsForWhatIsStoredSaysSo, of whatever enforcement, and no object is told: it is none's fault. It is taken back once it
// answers.
func TestAPolicyThatFailsForWhatIsStoredSaysSo(t *testing.T) {
	t.Parallel()
	for _, enforcement := range []v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit} {
		t.Run(string(enforcement), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.store("app", "a", "a.test")
			s.store("app", "b", "b.test")
			of := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{Enforcement: enforcement, Rego: "package own\n\ndeny contains to_number(input.name)"}}
			of.Name, of.Generation = "own", 1
			require.NoError(t, s.cluster.Create(t.Context(), of))
			require.NoError(t, s.engine.Set(of))
			s.audited()
			fails := meta.FindStatusCondition(s.policy("own").Status.Conditions, v1alpha1.ConditionFailing)
			require.NotNil(t, fails)
			assert.Equal(t, []any{metav1.ConditionTrue, "StoredObjects"}, []any{fails.Status, fails.Reason})
			assert.Contains(t, fails.Message, "2 stored objects cannot be judged, one for: policy could not be evaluated: ")
			assert.Zero(t, *s.policy("own").Status.Violations)
			events := s.told()
			require.Len(t, events, 1)
			assert.Contains(t, events[0], "Failing 2 stored objects cannot be judged")
			namespaced, _ := s.results()
			for _, result := range namespaced["app"] {
				assert.Equal(t, "error", result.(map[string]any)["result"])
			}
			assert.False(t, s.untold())

			of.Spec.Rego, of.Generation = "package own\n\ndeny contains \"no\" if input.name == \"none\"", 1
			require.NoError(t, s.engine.Set(of))
			s.audited()
			fails = meta.FindStatusCondition(s.policy("own").Status.Conditions, v1alpha1.ConditionFailing)
			assert.Equal(t, metav1.ConditionFalse, fails.Status)
			assert.Empty(t, s.told())
		})
	}
}

// TestAReportHasASizeThatTheClusterTakes: a namespace of many violations has several.
func TestAReportHasASizeThatTheClusterTakes(t *testing.T) {
	t.Parallel()
	got := split(map[string][]any{"app": make([]any, 2*perReport+1), "shop": make([]any, perReport)})
	sizes := map[string]int{}
	for name, results := range got {
		sizes[name.String()] = len(results)
	}
	assert.Equal(t, map[string]int{
		"app/egress-governor": perReport, "app/egress-governor-2": perReport, "app/egress-governor-3": 1, "shop/egress-governor": perReport,
	}, sizes)
}

// TestATextIsAsLongAsItIsTaken, and no rune is cut.
func TestATextIsAsLongAsItIsTaken(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "abc", v1alpha1.Bounded("abc", 3))
	assert.Equal(t, "ab…", v1alpha1.Bounded("abcd", 2))
	assert.Equal(t, "a…", v1alpha1.Bounded("aäb", 2))
}
