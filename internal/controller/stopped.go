package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/emergency"
)

// stopped says whether somebody has taken the webhook out of the way.
func (p *Preflight) stopped(ctx context.Context) ([]egress.Finding, error) {
	if p.Configuration == "" {
		return nil, nil
	}
	object := empty(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"})
	err := p.Live.Get(ctx, types.NamespacedName{Name: p.Configuration}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("webhook configuration %s: %w", p.Configuration, err)
	}
	return emergency.Finding(object), nil
}
