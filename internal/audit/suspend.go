package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// freely is how many exits are suspended at once whatever share of all they are.
const freely = 5

// policyState is what the audit goes by of an EgressPolicy.
type policyState struct {
	// suspends says that what violates it loses its exit, confirmed that this may be any number at once.
	suspends, confirmed bool
}

func (a *Auditor) readPolicies(ctx context.Context) (map[string]policyState, error) {
	var list v1alpha1.EgressPolicyList
	if err := a.Cached.List(ctx, &list); err != nil {
		return nil, err
	}
	out := map[string]policyState{}
	for _, policy := range list.Items {
		out[policy.Name] = policyState{policy.Spec.Suspends(), Confirmed(&policy, a.Policies.ParametersOf)}
	}
	return out, nil
}

// Confirmed says whether somebody has confirmed that a policy may suspend any number at once.
func Confirmed(policy *v1alpha1.EgressPolicy, parametersOf func(policy string) string) bool {
	return policy.Annotations[v1alpha1.AnnotationConfirmSuspend] == confirmation(policy, parametersOf)
}

// confirmation is the word by which somebody confirms what he looked at: the generation of a policy and, where it shares
// parameters or uses a bundle, which change without that, these.
func confirmation(policy *v1alpha1.EgressPolicy, parametersOf func(policy string) string) string {
	out := strconv.FormatInt(policy.Generation, 10)
	if policy.Spec.ParametersFrom != nil || policy.Spec.Bundle() != "" {
		out += "-" + parametersOf(policy.Name)
	}
	return out
}

// stillConfirmed leaves confirmed what was so when a pass began and is so now: what was judged by may have changed meanwhile.
func (a *Auditor) stillConfirmed(ctx context.Context, before map[string]policyState) error {
	now, err := a.readPolicies(ctx)
	for name, state := range before {
		state.confirmed = state.confirmed && now[name].confirmed
		before[name] = state
	}
	return err
}

// clocked says whether some policy that suspends reads the time.
func (a *Auditor) clocked(ctx context.Context) bool {
	timed := a.Policies.Timed()
	if len(timed) == 0 {
		return false
	}
	policies, err := a.readPolicies(ctx)
	return err == nil && slices.ContainsFunc(timed, func(name string) bool { return policies[name].suspends })
}

// freeOf is how many exits may be suspended newly, of all that there are.
func freeOf(sealed int, maxShare float64) int { return max(freely, int(maxShare*float64(sealed))) }

// decide suspends what violates policies that say so, and gives back what does not any more: none of what the last leader took, until
// entries were judged.
func (a *Auditor) decide() {
	if a.policies == nil {
		return
	}
	free := freeOf(a.Entries.Sealed(), a.MaxShare)
	last := a.Entries.Suspensions()
	// What was taken lately and is not given back counts: passes follow each other within seconds.
	maps.DeleteFunc(a.taken, func(name types.NamespacedName, at time.Time) bool {
		_, still := last[name]
		return !still || a.Now().Sub(at) > lately
	})
	next, held, spent := plan(a.found, last, a.policies, free-len(a.taken))
	for _, name := range spent {
		a.taken[name] = a.Now()
	}
	a.held = held
	a.Entries.Suspend(next)
}

// lately is for how long suspensions count against those that come after.
const lately = time.Hour

// plan returns the entries to suspend, with why, and how many each policy would suspend whose word is held. What is
// suspended stays so while some policy has it so, or cannot tell. New ones are as many as are free (within), those of the policies
// first that would suspend fewest; the others wait for somebody to look.
func plan(found map[objectKey]judged, last map[types.NamespacedName]string, policies map[string]policyState, free int) (next map[types.NamespacedName]string, held map[string]int, spent []types.NamespacedName) {
	next, held = map[types.NamespacedName]string{}, map[string]int{}
	fresh := map[string]map[types.NamespacedName]string{}
	for key, of := range found {
		if key.Kind != serviceEntry || !of.sealed {
			continue
		}
		why, was := last[key.name()]
		causes := suspending(of.findings, policies, why, was)
		if was && len(causes) > 0 {
			next[key.name()] = causes[0].reason
			continue
		}
		for _, cause := range causes {
			if fresh[cause.policy] == nil {
				fresh[cause.policy] = map[types.NamespacedName]string{}
			}
			fresh[cause.policy][key.name()] = cause.reason
		}
	}
	fewest := func(x, y string) int { return cmp.Or(len(fresh[x])-len(fresh[y]), cmp.Compare(x, y)) }
	for _, policy := range slices.SortedFunc(maps.Keys(fresh), fewest) {
		added := maps.Clone(fresh[policy])
		maps.DeleteFunc(added, func(name types.NamespacedName, _ string) bool {
			_, taken := next[name]
			return taken
		})
		if !policies[policy].confirmed {
			room, counted := within(added, found, free)
			if len(room) < len(added) {
				held[policy] = len(fresh[policy]) - len(room)
			}
			free -= len(counted)
			added, spent = room, append(spent, counted...)
		}
		maps.Copy(next, added)
	}
	return next, held, spent
}

// cause is a policy that has an entry suspended, and its word.
type cause struct{ policy, reason string }

// suspending returns the causes, one of each policy. Of an entry that is suspended already, and of which a policy cannot
// tell now, the last reason stays.
func suspending(findings []review.Finding, policies map[string]policyState, last string, was bool) (out []cause) {
	for _, finding := range findings {
		said := slices.ContainsFunc(out, func(other cause) bool { return other.policy == finding.Policy })
		switch {
		case said || !policies[finding.Policy].suspends:
		case finding.Effect == review.Denied:
			out = append(out, cause{finding.Policy, finding.OneLine()})
		case finding.Effect == review.Failed && was:
			out = append(out, cause{finding.Policy, last})
		}
	}
	return out
}
