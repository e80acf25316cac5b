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
		m.told.Delete(name)
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
		ready = ready && ok
	}
	return "", ready
}

// stays tells an entry's author, once for each reason, why it stays where it is.
func (m *moves) stays(name types.NamespacedName, entry *egress.Entry, reason string) reconcile.Result {
	if last, _ := m.told.Swap(name, reason); last != reason {
		about := &corev1.ObjectReference{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: name.Namespace, Name: name.Name, UID: types.UID(entry.UID)}
		m.recorder.Eventf(about, nil, corev1.EventTypeWarning, "NotMoved", "ConfigureExit", "the entry stays at egress gateway %q: %s", entry.Gateway, reason)
	}
	return reconcile.Result{RequeueAfter: interval}
}
