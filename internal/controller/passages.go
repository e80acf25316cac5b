package controller

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// settle is how long proxies are given to be told of a passage, or of a client rule, before calls depend on it: as long as istiod may
// gather changes.
const settle = 10 * time.Second

// stays says whether an exit stands that is not made where it does not: then no rule waits for a passage of it.
func (e *Exits) stays(ctx context.Context, key exitKey) (bool, error) {
	stands, err := e.stands(ctx, key)
	if err == nil && !stands && !egress.IsReserved(key.Host) {
		e.standing.lacks(key)
		e.ruled(e.standing.rulesWaitingFor(key))
	}
	return stands, err
}

// lingering returns the stored passages of an exit set that are not in it any more and stay for a while: until the client rules of all
// its entries stand, and proxies had time to be told. An exit that goes takes them with it.
func (e *Exits) lingering(ctx context.Context, key exitKey, exit *egress.Exit, set []hop.Object) (out []objectName, err error) {
	if egress.IsReserved(key.Host) {
		return nil, nil
	}
	if len(set) == 0 {
		e.lingersOn(key, false)
		return nil, nil
	}
	stored, err := e.objects.of(ctx, hop.EnvoyFilter, key.Namespace, key.Host)
	if err != nil {
		return nil, err
	}
	unneeded := map[string]bool{}
	for _, gw := range e.mesh.GatewaysIn(key.Namespace) {
		unneeded[hop.PassageName(gw, key.Host)] = !exit.Passes(gw.By(egress.MutualTLS).Leg())
	}
	for i := range stored {
		if unneeded[stored[i].GetName()] {
			out = append(out, nameOf(&stored[i]))
		}
	}
	// Before rules are asked for, so that one that is written meanwhile has the exit looked at again.
	if e.lingersOn(key, len(out) > 0); len(out) > 0 && e.left(key, e.allRuled(key.Host, exit)) {
		return nil, nil
	}
	return out, nil
}

// lingersOn notes whether passages of an exit linger; since when is as it was.
func (e *Exits) lingersOn(key exitKey, lingers bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !lingers {
		delete(e.lingers, key)
		return
	}
	if e.lingers == nil {
		e.lingers = map[exitKey]time.Time{}
	}
	if _, known := e.lingers[key]; !known {
		e.lingers[key] = time.Time{}
	}
}

// left says whether passages that linger have been unneeded for long enough: that they do without client rules is no time.
func (e *Exits) left(key exitKey, ruled bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	since := e.lingers[key]
	switch {
	case !ruled:
		since = time.Time{}
	case since.IsZero():
		since = time.Now()
	}
	if ruled && time.Since(since) >= e.settle {
		delete(e.lingers, key)
		return true
	}
	e.lingers[key] = since
	return false
}

// lookAgain is when passages that linger are looked at again: that a client rule stands is told, and that it has stood for long enough is not.
func (e *Exits) lookAgain(key exitKey) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lingers[key].IsZero() {
		return interval
	}
	return e.settle
}

// look looks again at the exits of a host where passages linger: a client rule stands.
func (e *Exits) look(host string) {
	var keys []exitKey
	e.mu.Lock()
	for _, gw := range e.mesh.Gateways {
		key := exitKey{gw.Namespace(), host}
		if _, lingers := e.lingers[key]; lingers {
			keys = append(keys, key)
		}
	}
	e.mu.Unlock()
	e.wake(keys)
}

// allRuled says whether the calls of all entries of an exit come by mutual TLS under the names of their ports, those of namespaces too that have
// rules of the host and call it by others' entries.
func (e *Exits) allRuled(host string, exit *egress.Exit) bool {
	seen := map[string]bool{}
	for _, member := range exit.Members {
		if member.Transport != egress.MutualTLS || seen[member.Namespace] {
			continue
		}
		seen[member.Namespace] = true
		if !e.isRuled(exitKey{member.Namespace, host}, member.Observed) {
			return false
		}
	}
	entries := e.entries.Entries(host)
	for _, namespace := range e.entries.Ruled(host) {
		serving := egress.Serving(entries, namespace)
		if seen[namespace] || serving == nil || serving.Gateway == "" || serving.Transport != egress.MutualTLS {
			continue
		}
		if !e.isRuled(exitKey{namespace, host}, e.entries.GatewayOf(namespace) == "") {
			return false
		}
	}
	return true
}

// isRuled says whether the calls of a namespace come so: by a client rule, and by each rule of its own, which may be in force in its place,
// unless nobody writes them anew.
func (e *Exits) isRuled(key exitKey, stays bool) bool {
	spec, _ := hop.ClientRuleSpec(e.mesh, e.entries, key.Namespace, key.Host)
	if !e.standing.isRuled(key, spec) {
		return false
	}
	return stays || !slices.ContainsFunc(e.entries.RulesAt(key.Namespace, key.Host), func(rule *egress.Rule) bool {
		return !rule.ByMutualTLS && hop.NamesPorts(e.mesh, e.entries, rule)
	})
}

// goes says whether a client rule may be as it is to be by now, and the entries of a namespace move on that pass without one, where it
// needs passages for that: once the gateways have had time to be told of them. Where they stand, but not for as long, it is looked at
// again after that.
func (c *ClientRules) goes(key exitKey, of string, needs bool) (wait time.Duration, goes bool) {
	passes := needs && c.passes(key, of)
	since := c.since(key, passes)
	switch {
	case !needs:
		return 0, true
	case !passes:
		return 0, false
	case !slices.ContainsFunc(c.entries.Entries(key.Host), func(entry *egress.Entry) bool { return entry.Namespace == of && entry.Gateway != "" }):
		return 0, true // none has calls yet, and whoever seals them gives proxies that time
	}
	wait = c.settled - time.Since(since)
	return max(wait, 0), wait <= 0
}

// since is when the passages that a client rule may go for were first seen to stand; it is forgotten where they do not.
func (c *ClientRules) since(key exitKey, stand bool) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !stand {
		delete(c.passable, key)
		return time.Time{}
	}
	if c.passable == nil {
		c.passable = map[exitKey]time.Time{}
	}
	if _, known := c.passable[key]; !known {
		c.passable[key] = time.Now()
	}
	return c.passable[key]
}

// passes says whether gateways take the calls of all entries of a host that a namespace has, by passages that stand.
func (c *ClientRules) passes(key exitKey, of string) bool {
	for _, entry := range c.entries.Entries(key.Host) {
		for _, leg := range []egress.Leg{entry.Leg(), entry.Moving} {
			gw, known := c.mesh.GatewayByName(leg.Gateway)
			if entry.Namespace != of || !known || leg.Transport != egress.MutualTLS {
				continue
			}
			exit := exitKey{gw.Namespace(), key.Host}
			// One that does not pass may have no part in the exit.
			if (entry.Passing || c.entries.Exit(key.Host, exit.Namespace).Passes(leg)) && !c.standing.awaitPassage(exit, key, leg) {
				return false
			}
		}
	}
	return true
}

// passing says whether entries pass by which a namespace calls a host, and whose they are: its own, or those of another that it has
// found the host by.
func (c *ClientRules) passing(key exitKey) (of string, is bool) {
	entries, of := c.entries.Entries(key.Host), key.Namespace
	if serving := egress.Serving(entries, key.Namespace); serving != nil && !hop.Passing(c.entries, of, key.Host) {
		of = serving.Namespace
	}
	return of, slices.ContainsFunc(entries, func(entry *egress.Entry) bool { return entry.Namespace == of && entry.Passing })
}

// rewrites keeps rules of authors' in their form, which goes with that of client rules: one by which calls are made under the names of ports
// stays until gateways have had time to be told of the passage by which they come under none.
func (c *ClientRules) rewrites() *Rewrites {
	out := rules(c.entries, c.synced)
	out.waits = func(name types.NamespacedName) bool {
		rule := c.entries.StoredRule(name)
		if rule == nil || !rule.ByMutualTLS {
			return false
		}
		serving := c.mesh.Governing(rule, c.entries)
		return serving != nil && serving.Transport == egress.MutualTLS && hop.Passing(c.entries, serving.Namespace, rule.Host) &&
			!c.standing.isUnnamed(exitKey{name.Namespace, rule.Host})
	}
	out.wrote = func(name types.NamespacedName, err error) {
		gone := func(of types.NamespacedName) bool { return c.entries.StoredRule(of) == nil }
		if rule := c.entries.StoredRule(name); c.standing.rewrote(name, err, gone) && rule != nil {
			c.tell(c.standing.waitingFor(exitKey{name.Namespace, rule.Host}))
		}
	}
	c.rewritten = out.wake
	return out
}

// theirs are the rules of authors' that a namespace has of a host.
func (c *ClientRules) theirs(key exitKey) []types.NamespacedName {
	return slices.DeleteFunc(c.entries.RulesOf(key.Host), func(name types.NamespacedName) bool { return name.Namespace != key.Namespace })
}
