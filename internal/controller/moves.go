package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// moves seals stored entries anew whose namespace leaves by another gateway by now, or is in ambient mode or no more, or whose gateway
// has another transport or waypoint: once the exits there stand, so that the calls always have one to go to. What cannot move stays, its author is
// told, and it is tried again every minute: whatever stands against it may go without a word to us.
type moves struct {
	mesh     *egress.Mesh
	entries  Entries
	standing *standing
	live     client.Reader
	writer   client.Writer
	recorder events.EventRecorder
	// told are the reasons that authors were told, by entry.
	told sync.Map
}

// move moves an entry, where it is to be moved and can be by now.
func (m *moves) move(ctx context.Context, name types.NamespacedName, entry *egress.Entry) (reconcile.Result, error) {
	gw, leaves := m.gatewayOf(name.Namespace)
	if !m.mesh.Seal || !leaves || gw.Leg() == entry.Leg() && gw.WaypointOf(name.Namespace) == entry.Waypoint {
		m.forget(name)
		return reconcile.Result{}, nil
	}
	if reason, ready := m.await(gw, name, entry); reason != "" {
		return m.stays(name, entry, reason), nil
	} else if !ready {
		return reconcile.Result{}, nil
	}
	object := empty(istio("ServiceEntry"))
	if err := m.live.Get(ctx, name, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	sealed, err := hop.Seal(object, gw, m.mesh)
	if err == nil {
		err = m.writer.Update(ctx, sealed)
	}
	var refusals hop.Refusals
	switch {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: again}, nil
	case errors.As(err, &refusals), apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return m.stays(name, entry, err.Error()), nil
	case err != nil:
		return reconcile.Result{}, err
	}
	if leg, _ := hop.SealedLeg(sealed, m.mesh); leg != gw.Leg() || hop.BoundTo(sealed) != gw.WaypointOf(name.Namespace) {
		// A replica with the configuration of before was asked about it.
		return reconcile.Result{RequeueAfter: interval}, nil
	}
	tell(ctx, "Moved", sealed)
	return reconcile.Result{}, nil
}

// forget has the author of an entry told anew, should it ever have to move.
func (m *moves) forget(name types.NamespacedName) { m.told.Delete(name) }

// gatewayOf returns the gateway of a namespace, as its entries are sealed to it.
func (m *moves) gatewayOf(namespace string) (out egress.Gateway, leaves bool) {
	governed := m.entries.Governed()
	i, known := governed.Index(namespace)
	if !known {
		return out, false
	}
	_, labels := governed.At(i)
	return m.mesh.GatewayFor(labels)
}

// await returns why an entry cannot move yet, empty for nothing to tell, and whether the exits at the gateway are ready for
// it; where they are not yet, the entry is looked at again.
func (m *moves) await(gw egress.Gateway, name types.NamespacedName, entry *egress.Entry) (reason string, ready bool) {
	if problems := m.entries.Problems(gw); len(problems) > 0 {
		return problems[0].Message, false
	}
	ready = true
	for _, host := range entry.Hosts {
		key := exitKey{gw.Namespace(), host}
		definition := entry.Definition.Under(m.entries.Rule(entry.Namespace, host))
		if against := m.entries.Exit(host, key.Namespace).Against(definition); against.Owner != nil {
			return fmt.Sprintf("host %q is defined otherwise there by ServiceEntry %s/%s: %s", host, against.Owner.Namespace, against.Owner.Name, against.Reason), false
		}
		state, stands, ok := m.standing.await(key, name, func(state exitState) bool {
			return state.err == nil && state.exit.Covers(definition) && state.exit.Serves(gw.Leg())
		})
		if stands && state.err != nil {
			return state.err.Error(), false
		}
		failed, ruled := m.ruled(gw, name, entry, host)
		if failed == "" && ruled {
			failed, ruled = m.rewritten(gw, name, entry, host)
		} else if failed != "" {
			failed = fmt.Sprintf("%s/%s, by which clients call gateways, cannot be written: %s", entry.Namespace, hop.ClientRuleName(host), failed)
		}
		if failed != "" {
			return "the DestinationRule " + failed, false
		}
		ready = ready && ok && ruled
	}
	return "", ready
}

// ruled says whether the client rule of an entry for a host is as its calls go by at both gateways: gone where one of them is by mutual TLS
// and takes calls without it, and of both names where both are.
func (m *moves) ruled(gw egress.Gateway, name types.NamespacedName, entry *egress.Entry, host string) (failed string, stands bool) {
	passing := hop.Passing(m.entries, entry.Namespace, host)
	if !passing && (gw.Transport != egress.MutualTLS || entry.Transport != egress.MutualTLS) {
		return "", true
	}
	spec, _ := hop.ClientRuleSpec(m.mesh, m.entries, entry.Namespace, host)
	return m.standing.awaitRule(exitKey{entry.Namespace, host}, name, spec, passing)
}

// rewritten says whether the rules of authors', which may be in force in the place of client rules, have calls made under no name of a port by
// now: at a gateway that is not by mutual TLS none has one. Other namespaces that call by the entry hold nobody up whose rule cannot be stored anew.
func (m *moves) rewritten(gw egress.Gateway, name types.NamespacedName, entry *egress.Entry, host string) (failed string, are bool) {
	if gw.Transport == egress.MutualTLS || entry.Transport != egress.MutualTLS || !hop.Passing(m.entries, entry.Namespace, host) {
		return "", true
	}
	are, entries := true, m.entries.Entries(host)
	for _, namespace := range m.entries.Ruled(host) {
		serving := egress.Serving(entries, namespace)
		if own := namespace == entry.Namespace; !own && (serving == nil || serving.Namespace != entry.Namespace || m.entries.GatewayOf(namespace) == "") {
			continue
		}
		rule, why, is := m.named(exitKey{namespace, host}, name)
		spec, _ := hop.ClientRuleSpec(m.mesh, m.entries, namespace, host)
		switch {
		case spec == nil && !m.standing.isGone(exitKey{namespace, host}):
			are = false
		case is && why == "":
			are = false
		case is && namespace == entry.Namespace:
			return fmt.Sprintf("%s, by which calls are made by mutual TLS, cannot be stored anew: %s", rule, why), false
		}
	}
	return "", are
}

// named says whether a rule of a namespace's author still has calls made under the names of ports, and why that cannot be stored anew, empty for
// nothing. The entry waits before the rules are asked for, so that it misses no change.
func (m *moves) named(key exitKey, entry types.NamespacedName) (rule types.NamespacedName, why string, is bool) {
	m.standing.awaitRewrite(key, entry)
	for _, of := range m.entries.RulesAt(key.Namespace, key.Host) {
		if !of.ByMutualTLS || hop.EncryptsItself(of) {
			continue
		}
		rule, is = types.NamespacedName{Namespace: of.Namespace, Name: of.Name}, true
		if why = m.standing.whyNot(rule); why == "" {
			return rule, why, is // the others are asked for once it is written
		}
	}
	return rule, why, is
}

// stays tells an entry's author, once for each reason, why it stays where it is.
func (m *moves) stays(name types.NamespacedName, entry *egress.Entry, reason string) reconcile.Result {
	if last, _ := m.told.Swap(name, reason); last != reason {
		m.recorder.Eventf(aboutEntry(name, types.UID(entry.UID)), nil, corev1.EventTypeWarning, "NotMoved", "ConfigureExit", "the entry stays at egress gateway %q: %s", entry.Gateway, reason)
	}
	return reconcile.Result{RequeueAfter: interval}
}
