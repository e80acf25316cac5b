package simulate

import (
	"maps"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Change is what becomes of a host of an object.
type Change string

// The changes.
const (
	NewlyDenied  Change = "newly-denied"
	NewlyFailed  Change = "newly-failed"
	NewlyAllowed Change = "newly-allowed"
	NewlyWarned  Change = "newly-warned"
	NewlyAudited Change = "newly-audited"
	// NoLongerTold: it is let through as before, and less is said of it.
	NoLongerTold Change = "no-longer-told"
	// DeniedToFailed and FailedToDenied are noes before and after.
	DeniedToFailed Change = "denied-to-failed"
	FailedToDenied Change = "failed-to-denied"
)

// Better says whether less speaks against a host than before.
func (c Change) Better() bool { return c == NewlyAllowed || c == NoLongerTold }

// Changes are all of them, those first that matter most.
var Changes = []Change{NewlyDenied, NewlyFailed, NewlyAllowed, DeniedToFailed, FailedToDenied, NewlyWarned, NewlyAudited, NoLongerTold}

// Host is a host of an object of which something changes; it is empty where the object names none that leaves.
type Host struct {
	Host   string
	Of     dryrun.Stored
	Change Change
	// From and To are what is said worst of it: an effect, or allowed for nothing.
	From, To review.Effect
	// Findings are why: what comes new, or where it gets better what goes.
	Findings []review.Finding
}

// effects are what may be said of a host, the worst first.
var effects = []review.Effect{review.Failed, review.Denied, review.Refused, review.Warned, review.Audited, review.Allowed}

// compare returns the hosts of an object of which something changes.
func compare(before, after dryrun.Stored) (out []Host) {
	then, now := byHost(before), byHost(after)
	all := maps.Clone(then)
	maps.Copy(all, now)
	for _, host := range slices.Sorted(maps.Keys(all)) {
		one := Host{Host: host, Of: after, From: worst(then[host]), To: worst(now[host])}
		if one.Change = changeOf(one.From, one.To); one.Change == "" {
			continue
		}
		one.Findings = news(now[host], then[host], one.To)
		if one.Change.Better() {
			one.Findings = news(then[host], now[host], one.From)
		}
		out = append(out, one)
	}
	return out
}

// changeOf names the way from an effect to another, empty for none that anybody would notice.
func changeOf(from, to review.Effect) Change {
	before, after := slices.Index(effects, from), slices.Index(effects, to)
	wasNo, isNo := no(from), no(to)
	switch {
	case from == to:
		return ""
	case !wasNo && to == review.Failed:
		return NewlyFailed
	case !wasNo && isNo:
		return NewlyDenied
	case wasNo && !isNo:
		return NewlyAllowed
	case to == review.Failed:
		return DeniedToFailed
	case from == review.Failed:
		return FailedToDenied
	case isNo:
		return ""
	case after > before:
		return NoLongerTold
	case to == review.Warned:
		return NewlyWarned
	}
	return NewlyAudited
}

func no(effect review.Effect) bool {
	return effect == review.Failed || effect == review.Denied || effect == review.Refused
}

func worst(findings []review.Finding) review.Effect {
	out := len(effects) - 1
	for _, finding := range findings {
		out = min(out, slices.Index(effects, finding.Effect))
	}
	return effects[out]
}

// news returns the findings with an effect that are not among others.
func news(findings, others []review.Finding, effect review.Effect) (out []review.Finding) {
	for _, finding := range findings {
		if finding.Effect == effect && !slices.Contains(others, finding) {
			out = append(out, finding)
		}
	}
	return out
}

// byHost files what is said of an object under the hosts that it is about. That an entry is not sealed speaks against no request: it
// is, when it is written next. What no policy warns of is so under all.
func byHost(of dryrun.Stored) map[string][]review.Finding {
	out := map[string][]review.Finding{}
	for _, finding := range of.Findings {
		if finding.Code == review.CodeUnsealed || finding.Policy == "" && finding.Effect == review.Warned {
			continue
		}
		for _, host := range hostsOf(finding, of.Facts) {
			out[host] = append(out[host], finding)
		}
	}
	return out
}

// hostsOf returns the hosts that a finding is about: by the field that it names, or else all that leave the mesh.
func hostsOf(finding review.Finding, facts egress.Facts) (out []string) {
	var leaving []string
	for _, host := range facts.Hosts {
		if finding.Field != "" && within(finding.Field, host.Path.String()) {
			out = append(out, host.Canonical)
		}
		if host.Leaves {
			leaving = append(leaving, host.Canonical)
		}
	}
	if len(out) == 0 && finding.Field != "" {
		for _, route := range facts.Routes {
			if within(finding.Field, route.Path.String()) {
				out = append(out, egress.Canonical(route.Host))
			}
		}
	}
	if len(out) == 0 {
		out = leaving
	}
	if len(out) == 0 {
		return []string{""}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// within says whether a field is another, or within it.
func within(field, of string) bool {
	rest, is := strings.CutPrefix(field, of)
	return is && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
