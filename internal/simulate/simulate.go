// Package simulate says what would change for what is stored if other EgressPolicies were in force.
package simulate

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/audit"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Options are what is simulated.
type Options struct {
	// Policies are put in force, in the place of those of their names; with Only, of all that are stored.
	Policies []manifest.Object
	Only     bool
	// MaxShare is the share of all exits that is suspended at once.
	MaxShare float64
}

// Simulation is what would change.
type Simulation struct {
	Policies dryrun.Replacement
	// Objects are how many stored objects were judged.
	Objects int
	// Hosts are what changes, sorted by namespace, host and object.
	Hosts []Host
	Exits Exits
}

// Exits are what becomes of exits by policies that suspend.
type Exits struct {
	// Suspended are the entries that would lose theirs, with why; Restored those that would have theirs back.
	Suspended map[types.NamespacedName]string
	Restored  []types.NamespacedName
	// Held are how many entries a policy would suspend whose word is held, for they are too many at once.
	Held map[string]int
}

// Run judges what is stored in a session, has the policies put in force there, and judges it again. It calls done after each
// judgement. The error is that of a policy that the webhook would refuse, or of an object that cannot be evaluated.
func Run(ctx context.Context, session *dryrun.Session, stored []manifest.Object, options Options, done func()) (*Simulation, error) {
	before, err := session.Audit(ctx, stored, done)
	if err != nil {
		return nil, err
	}
	out := &Simulation{}
	if out.Policies, err = session.Replace(options.Policies, options.Only); err != nil {
		return nil, err
	}
	after, err := session.Audit(ctx, stored, done)
	if err != nil {
		return nil, err
	}
	for i := range before {
		if before[i].Verdict != "" || after[i].Verdict != "" {
			out.Objects++
		}
		out.Hosts = append(out.Hosts, compare(before[i], after[i])...)
	}
	slices.SortStableFunc(out.Hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Of.GetNamespace(), b.Of.GetNamespace()), cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Of.GetKind(), b.Of.GetKind()), cmp.Compare(a.Of.GetName(), b.Of.GetName()))
	})
	out.Exits = foresee(session, after, out.Policies, options.MaxShare)
	return out, nil
}

// Worse says whether something that is let through now would not be.
func (s *Simulation) Worse() bool {
	return len(s.Exits.Suspended) > 0 || slices.ContainsFunc(s.Hosts, func(host Host) bool {
		return host.Change == NewlyDenied || host.Change == NewlyFailed
	})
}

// foresee says which exits would change.
func foresee(session *dryrun.Session, after []dryrun.Stored, policies dryrun.Replacement, maxShare float64) (out Exits) {
	suspending := map[string]bool{}
	for _, policy := range session.Policies() {
		if policy.Spec.Suspends() {
			suspending[policy.Name] = slices.Contains(untouched(session, policies), policy.Name) && audit.Confirmed(policy.EgressPolicy, session.ParametersOf)
		}
	}
	var entries []audit.Entry
	for _, of := range after {
		if of.Exit {
			entries = append(entries, audit.Entry{Name: nameOf(of), Hosts: egress.Hosts(of.Unstructured), Findings: of.Findings})
		}
	}
	last := session.Suspensions()
	next, held := audit.Foresee(entries, last, suspending, session.Sealed(), maxShare)
	out.Held, out.Suspended = held, map[types.NamespacedName]string{}
	for name, why := range next {
		if _, was := last[name]; !was {
			out.Suspended[name] = why
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(last), func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) }) {
		if _, still := next[name]; !still {
			out.Restored = append(out.Restored, name)
		}
	}
	return out
}

// untouched returns the policies that stay as they are: what somebody confirmed of them holds.
func untouched(session *dryrun.Session, policies dryrun.Replacement) (out []string) {
	for _, policy := range session.Policies() {
		if !slices.Contains(policies.Added, policy.Name) && !slices.Contains(policies.Changed, policy.Name) {
			out = append(out, policy.Name)
		}
	}
	return out
}

func nameOf(of dryrun.Stored) types.NamespacedName {
	return types.NamespacedName{Namespace: of.GetNamespace(), Name: of.GetName()}
}
