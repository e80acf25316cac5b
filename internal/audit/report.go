package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/review"
)

// reportKind is a kind of reports, for namespaces and for the cluster.
type reportKind struct{ namespaced, cluster schema.GroupVersionKind }

var reportKinds = []reportKind{
	{schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReport"}, schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "ClusterPolicyReport"}},
	{schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "Report"}, schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "ClusterReport"}},
}

const (
	// reportName is that of each namespace's first report, and what all say of their source.
	reportName = "egress-governor"
	// perReport is how many results one object has, and inReport how long a text of one is: etcd takes no object of any
	// size.
	perReport, inReport = 500, 500
)

// reports has what is stored, by kind; a kind is not there before its reports were listed.
type reports map[schema.GroupVersionKind]*reportsOf

// reportsOf are the stored reports of a kind.
type reportsOf struct {
	// listed says that they were listed since a whole pass ended: others may change and delete them.
	listed bool
	stored map[types.NamespacedName]written
}

// written is a report as it was written: the digest of what it says, empty where somebody else wrote it last, and its resourceVersion.
type written struct{ digest, version string }

// unlisted has reports listed once more before the next is written.
func (r reports) unlisted() {
	for _, of := range r {
		of.listed = false
	}
}

// report makes the stored reports equal to what is known, in each format that the cluster has.
func (a *Auditor) report(ctx context.Context) error {
	if a.Writer == nil {
		return nil
	}
	if a.reports == nil {
		a.reports = reports{}
	}
	var errs []error
	namespaced, cluster := a.results()
	for _, kind := range reportKinds {
		errs = append(errs, a.reportAs(ctx, kind.namespaced, split(namespaced)), a.reportAs(ctx, kind.cluster, split(map[string][]any{"": cluster})))
	}
	return errors.Join(errs...)
}

func (a *Auditor) reportAs(ctx context.Context, kind schema.GroupVersionKind, want map[types.NamespacedName][]any) error {
	_, err := a.Kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		delete(a.reports, kind)
		return nil
	}
	if of := a.reports[kind]; err == nil && (of == nil || !of.listed) {
		err = a.listReports(ctx, kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kind.Kind, err)
	}
	var errs []error
	for name, results := range want {
		errs = append(errs, a.writeReport(ctx, kind, name, results))
	}
	for name := range a.reports[kind].stored {
		if _, stays := want[name]; !stays {
			errs = append(errs, a.removeReport(ctx, kind, name))
		}
	}
	return errors.Join(errs...)
}

// listReports learns which reports of ours are stored, and which of them nobody else wrote since we did.
func (a *Auditor) listReports(ctx context.Context, kind schema.GroupVersionKind) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := a.Live.List(ctx, list, client.MatchingLabels{hop.ManagedByLabel: hop.Manager}); err != nil {
		return err
	}
	last, now := a.reports[kind], map[types.NamespacedName]written{}
	for _, item := range list.Items {
		name := types.NamespacedName{Namespace: item.Namespace, Name: item.Name}
		now[name] = written{version: item.ResourceVersion}
		if last != nil && last.stored[name].version == item.ResourceVersion {
			now[name] = last.stored[name]
		}
	}
	a.reports[kind] = &reportsOf{listed: true, stored: now}
	return nil
}

func (a *Auditor) writeReport(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName, results []any) error {
	object := reportOf(kind, name, results)
	raw, err := json.Marshal(object.Object)
	if err != nil {
		return err
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(raw))
	stored := a.reports[kind].stored
	if stored[name].digest == digest {
		return nil
	}
	if err := a.limiter.Wait(ctx); err != nil {
		return err
	}
	err = a.Writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(reportName), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind.Kind, name, err)
	}
	stored[name] = written{digest, object.GetResourceVersion()}
	return nil
}

func (a *Auditor) removeReport(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(name.Namespace)
	object.SetName(name.Name)
	if err := client.IgnoreNotFound(a.Writer.Delete(ctx, object)); err != nil {
		return err
	}
	delete(a.reports[kind].stored, name)
	return nil
}

// results returns what the reports say: of each namespace what is wrong in it, of the cluster one line of each policy.
func (a *Auditor) results() (namespaced map[string][]any, cluster []any) {
	namespaced = map[string][]any{}
	add := func(key objectKey, of judged, result map[string]any) {
		result["resources"] = []any{map[string]any{
			"apiVersion": of.apiVersion, "kind": key.Kind, "namespace": key.Namespace, "name": key.Name, "uid": string(of.uid),
		}}
		namespaced[key.Namespace] = append(namespaced[key.Namespace], result)
	}
	for _, key := range slices.SortedFunc(maps.Keys(a.found), objectKey.compare) {
		of := a.found[key]
		for _, finding := range of.findings {
			result := resultOf(finding)
			if of.observed {
				unscored(result)
			}
			since := a.told[notice{of.uid, finding.Policy, finding.Code}].since
			result["timestamp"] = map[string]any{"seconds": since.Unix(), "nanos": int64(0)}
			add(key, of, result)
		}
		for _, change := range of.changes {
			result := map[string]any{"source": reportName, "policy": reportName, "category": "egress", "rule": "would-change", "result": "pass", "message": v1alpha1.Bounded(change, inReport), "properties": map[string]any{}}
			unscored(result)
			add(key, of, result)
		}
	}
	violations, failures := a.violationsOf()
	for _, name := range slices.Sorted(maps.Keys(a.policies)) {
		result := map[string]any{"source": reportName, "policy": name, "result": "pass", "scored": true, "message": "nothing that is stored violates it"}
		if count := violations[name]; count > 0 {
			result["result"], result["message"] = "fail", fmt.Sprintf("%d violations in what is stored", count)
		} else if count := failures[name].count; count > 0 {
			result["result"], result["message"] = "error", fmt.Sprintf("could not be evaluated for %d stored objects", count)
		}
		cluster = append(cluster, result)
	}
	return namespaced, cluster
}

// unscored says of a result that it would be so if the namespace were governed.
func unscored(result map[string]any) {
	result["scored"] = false
	result["properties"].(map[string]any)["mode"] = "Observe"
}

func resultOf(finding review.Finding) map[string]any {
	result := map[review.Effect]string{review.Denied: "fail", review.Refused: "fail", review.Audited: "fail", review.Warned: "warn"}[finding.Effect]
	if finding.Unevaluated() {
		result = "error"
	}
	properties := map[string]any{"enforcement": string(enforcements[finding.Effect])}
	for key, value := range map[string]string{"field": finding.Field, "fix": finding.Fix, "docs": finding.Docs, "library": finding.Library} {
		if value != "" {
			properties[key] = v1alpha1.Bounded(value, inReport)
		}
	}
	out := map[string]any{
		"source": reportName, "policy": cmp.Or(finding.Policy, reportName), "category": "egress", "result": result, "scored": result == "fail",
		"message": v1alpha1.Bounded(finding.Message, inReport), "properties": properties,
	}
	if finding.Code != "" {
		out["rule"] = finding.Code
	}
	return out
}

// split parts the results of each namespace into reports.
func split(of map[string][]any) map[types.NamespacedName][]any {
	out := map[types.NamespacedName][]any{}
	for namespace, results := range of {
		i := 0
		for chunk := range slices.Chunk(results, perReport) {
			name := reportName
			if i++; i > 1 {
				name = fmt.Sprintf("%s-%d", reportName, i)
			}
			out[types.NamespacedName{Namespace: namespace, Name: name}] = chunk
		}
	}
	return out
}

func reportOf(kind schema.GroupVersionKind, name types.NamespacedName, results []any) *unstructured.Unstructured {
	summary := map[string]any{"pass": int64(0), "fail": int64(0), "warn": int64(0), "error": int64(0), "skip": int64(0)}
	for _, result := range results {
		as, _ := result.(map[string]any)["result"].(string)
		summary[as] = summary[as].(int64) + 1
	}
	out := &unstructured.Unstructured{Object: map[string]any{"summary": summary, "results": results}}
	out.SetGroupVersionKind(kind)
	out.SetNamespace(name.Namespace)
	out.SetName(name.Name)
	out.SetLabels(map[string]string{hop.ManagedByLabel: hop.Manager})
	return out
}
