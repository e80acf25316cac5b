package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What becomes of an entry, as its author is told.

func entryChanges(s *subject) []string {
	if s.leads() {
		return ledChanges(s)
	}
	gw, ok := hop.SealedTo(s.Object, s.Mesh)
	switch {
	case !ok:
		return nil
	case s.later:
		return []string{fmt.Sprintf("metadata.annotations[%s]: its exit at egress gateway %q is made, and the entry stays as it is until it is written without this", hop.ExitAnnotation, gw.Name)}
	}
	out := []string{fmt.Sprintf("spec.endpoints: calls to this entry's hosts now leave through egress gateway %q", gw.Name)}
	if waypoint := hop.BoundTo(s.Object); waypoint.Name != "" && waypoint == s.gateway.WaypointOf(s.Namespace.Name) {
		out = append(out, fmt.Sprintf("metadata.labels: pods in ambient mode call them by waypoint %s", waypoint))
	}
	if hosts := listOf(s.Object, "hosts"); !equality.Semantic.DeepEqual(listOf(s.intent, "hosts"), hosts) {
		out = append(out, fmt.Sprintf("spec.hosts: stored in canonical spelling: %v", hosts))
	}
	switch {
	case len(listOf(s.intent, "exportTo")) > 0 || len(listOf(s.Object, "exportTo")) == 0:
	case len(s.Mesh.Gateways) > 1:
		out = append(out, "spec.exportTo: there are several egress gateways, so the entry is seen by its own namespace alone; name the namespaces that are to see it")
	default:
		out = append(out, `spec.exportTo: was left out, so the entry is seen by its own namespace alone; name the namespaces that are to see it, or "*" for all`)
	}
	if parsed, err := s.entry(); err == nil {
		out = append(out, unweighted(parsed)...)
		if proxies := forwardProxies(parsed); proxies != "" {
			out = append(out, proxyChange(proxies))
		}
		out = append(out, besideTCP(s, parsed)...)
		out = slices.Concat(out, ownIngress(s, parsed), keepCalls(s, parsed))
		transport := gw.By(s.listens(parsed).Transport)
		out = slices.Concat(out, contradicted(s, parsed), askedByAddress(parsed, transport), underUnusedLevels(s, parsed), underUnagreed(s, parsed, gw), underRule(s, parsed, transport))
	}
	return slices.Concat(out, unseen(s), underNone(s))
}

// ledChanges tells what becomes of an entry that is stored as it is written.
func ledChanges(s *subject) []string {
	parsed, err := s.entry()
	if err != nil || !parsed.External() {
		return nil
	}
	out := []string{fmt.Sprintf("spec.hosts: calls to this entry's hosts leave through egress gateway %q by routes; until ExitReady is True they may leave directly", s.gateway.Name)}
	if proxies := forwardProxies(parsed); proxies != "" {
		out = append(out, proxyChange(proxies))
	}
	return slices.Concat(out, contradicted(s, parsed), unweighted(parsed), ownIngress(s, parsed), keepCalls(s, parsed), unseen(s), underNone(s))
}

// unweighted tells of weights that are stored already, and that no exit has.
func unweighted(intent *egress.ServiceEntry) (out []string) {
	for _, refusal := range hop.CheckWeights(intent.Endpoints) {
		out = append(out, fmt.Sprintf("%s: the egress gateway calls all endpoints alike: %s", refusal.Field, refusal.Message))
	}
	return out
}
