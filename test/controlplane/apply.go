package controlplane

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// ClientSideApply sends what client-side kubectl apply sends: a create, or the three-way merge patch of kubectl's own
// function.
func ClientSideApply(ctx context.Context, c client.Client, manifest *unstructured.Unstructured) error {
	raw, err := json.Marshal(manifest.Object)
	if err != nil {
		return err
	}
	in := manifest.DeepCopy()
	in.SetAnnotations(map[string]string{lastApplied: string(raw)})
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(in.GroupVersionKind())
	err = c.Get(ctx, client.ObjectKeyFromObject(in), live)
	if apierrors.IsNotFound(err) {
		return c.Create(ctx, in)
	}
	if err != nil {
		return err
	}
	current, err := live.MarshalJSON()
	if err != nil {
		return err
	}
	modified, err := in.MarshalJSON()
	if err != nil {
		return err
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(live.GetAnnotations()[lastApplied]), modified, current)
	if err != nil {
		return err
	}
	return c.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch))
}
