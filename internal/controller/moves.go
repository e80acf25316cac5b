package controller

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// moves seals stored entries anew whose namespace leaves by another gateway by now, or whose gateway has another
// transport: once the exits there stand, so that the calls always have one to go to.
type moves struct {
	mesh     *egress.Mesh
	entries  Entries
	standing *standing
	live     client.Reader
	writer   client.Writer
	recorder events.EventRecorder
}

// move moves an entry, where it is to be moved and can be by now.
func (m *moves) move(ctx context.Context, name types.NamespacedName, entry *egress.Entry) (reconcile.Result, error) {
	gw, leaves := m.mesh.GatewayByName(m.entries.GatewayOf(name.Namespace))
	if !m.mesh.Seal || !leaves || gw.Leg() == entry.Leg() {
		return reconcile.Result{}, nil
	}
	for _, host := range entry.Hosts {
		key := exitKey{gw.Namespace(), host}
		state, _ := m.standing.get(key)
		definition := entry.Definition.Under(m.entries.Rule(entry.Namespace, host))
		if state.err != nil || !state.exit.Covers(definition) || !state.exit.Serves(gw.Leg()) {
			m.standing.wait(key, name)
			return reconcile.Result{}, nil
		}
	}
	object := empty(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"})
	if err := m.live.Get(ctx, name, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	sealed, err := hop.Seal(object, gw, m.mesh)
	var refusals hop.Refusals
	stays := errors.As(err, &refusals)
	if err == nil {
		tell(ctx, "Moved", sealed)
		err = m.writer.Update(ctx, sealed)
		stays = apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
	}
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: again}, nil
	case stays:
		m.recorder.Eventf(object, nil, corev1.EventTypeWarning, "NotMoved", "ConfigureExit", "the entry stays at egress gateway %q: %s", entry.Gateway, err)
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, client.IgnoreNotFound(err)
}
