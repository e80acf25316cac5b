package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

const (
	// policiesWebhook is the webhook whose rules follow the policies; the chart says everything else of it.
	policiesWebhook = "policies.egress-governor.io"
	// rulesOwner is the field manager of these rules.
	rulesOwner = "egress-governor-rules"
	// lookEvery is how often the rules are looked after, servedFor how long it counts what the cluster serves.
	lookEvery = 5 * time.Second
	servedFor = 30 * time.Second
)

// WebhookRules has the API server send the kinds that a policy in force asks for, and no others. The leader runs it.
type WebhookRules struct {
	// Kinds returns those that the policies in force evaluate; Loaded says whether all of these are known yet.
	Kinds  func() []v1alpha1.Kind
	Loaded func() bool
	// Resource returns the group and the versions of a kind that is sent only while a policy asks for it, false for others.
	Resource func(kind v1alpha1.Kind) (group string, versions []string, asked bool)
	// Served answers what resources a group and version has, NotFound for none.
	Served interface {
		ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
	}
	// Live reads past any cache.
	Live   client.Reader
	Writer client.Client
	// Configuration is the name of the ValidatingWebhookConfiguration.
	Configuration string

	last    []admissionv1.RuleWithOperations
	of      []v1alpha1.Kind
	asOf    time.Time
	changed chan struct{}
}

// NewWebhookRules returns rules that know of no change yet.
func NewWebhookRules(with WebhookRules) *WebhookRules {
	with.changed = make(chan struct{}, 1)
	return &with
}

// Changed says that other policies may be in force.
func (w *WebhookRules) Changed() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Start implements manager.Runnable. It returns when the context ends.
func (w *WebhookRules) Start(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := w.keep(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The API server may not send what the policies ask for", "webhook", policiesWebhook)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		case <-ticker.C:
		}
	}
}

// keep makes the rules equal to what is asked for, and writes nothing when they are.
func (w *WebhookRules) keep(ctx context.Context) error {
	if !w.Loaded() {
		return nil
	}
	want, err := w.want()
	if err != nil {
		return err
	}
	stored := &admissionv1.ValidatingWebhookConfiguration{}
	if err := w.Live.Get(ctx, types.NamespacedName{Name: w.Configuration}, stored); err != nil {
		return err
	}
	i := slices.IndexFunc(stored.Webhooks, func(of admissionv1.ValidatingWebhook) bool { return of.Name == policiesWebhook })
	if i < 0 {
		return fmt.Errorf("ValidatingWebhookConfiguration %s has no webhook %s; upgrade the chart", w.Configuration, policiesWebhook)
	}
	if equality.Semantic.DeepEqual(stored.Webhooks[i].Rules, want) {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("The API server is told what the policies ask for", "kinds", w.of)
	webhook := applyv1.ValidatingWebhook().WithName(policiesWebhook)
	for _, rule := range want {
		webhook.WithRules(applyv1.RuleWithOperations().WithOperations(rule.Operations...).
			WithAPIGroups(rule.APIGroups...).WithAPIVersions(rule.APIVersions...).WithResources(rule.Resources...).WithScope(*rule.Scope))
	}
	return w.Writer.Apply(ctx, applyv1.ValidatingWebhookConfiguration(w.Configuration).WithWebhooks(webhook),
		client.FieldOwner(rulesOwner), client.ForceOwnership)
}

// want returns the rules for what the policies ask for and the cluster serves, asked for anew every while.
func (w *WebhookRules) want() ([]admissionv1.RuleWithOperations, error) {
	kinds := w.Kinds()
	if slices.Equal(kinds, w.of) && time.Since(w.asOf) < servedFor {
		return w.last, nil
	}
	served := map[string]*metav1.APIResourceList{}
	places := map[[2]string][]string{}
	for _, kind := range kinds {
		group, versions, asked := w.Resource(kind)
		if !asked {
			continue
		}
		resource, of, err := w.place(schema.GroupKind{Group: group, Kind: string(kind)}, versions, served)
		if err != nil {
			return nil, err
		}
		if resource != "" {
			key := [2]string{group, strings.Join(of, ",")}
			places[key] = append(places[key], resource)
		}
	}
	w.last, w.of, w.asOf = rulesOf(places), kinds, time.Now()
	return w.last, nil
}

// place returns the name of a kind's resource and the versions in which it is served; empty for none.
func (w *WebhookRules) place(kind schema.GroupKind, versions []string, served map[string]*metav1.APIResourceList) (resource string, of []string, err error) {
	for _, version := range versions {
		at := kind.Group + "/" + version
		list, known := served[at]
		if !known {
			list, err = w.Served.ServerResourcesForGroupVersion(at)
			if apierrors.IsNotFound(err) {
				list, err = &metav1.APIResourceList{}, nil
			}
			if err != nil {
				return "", nil, fmt.Errorf("resources of %s: %w", at, err)
			}
			served[at] = list
		}
		for _, candidate := range list.APIResources {
			if candidate.Kind == kind.Kind && candidate.Namespaced && !strings.Contains(candidate.Name, "/") {
				resource, of = candidate.Name, append(of, version)
			}
		}
	}
	return resource, of, nil
}

// rulesOf returns a rule for each group and its versions.
func rulesOf(places map[[2]string][]string) (out []admissionv1.RuleWithOperations) {
	scope := admissionv1.NamespacedScope
	for key, resources := range places {
		slices.Sort(resources)
		out = append(out, admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule: admissionv1.Rule{
				APIGroups: []string{key[0]}, APIVersions: strings.Split(key[1], ","), Resources: resources, Scope: &scope,
			},
		})
	}
	slices.SortFunc(out, func(a, b admissionv1.RuleWithOperations) int {
		return cmp.Or(cmp.Compare(a.APIGroups[0], b.APIGroups[0]), slices.Compare(a.APIVersions, b.APIVersions))
	})
	return out
}
