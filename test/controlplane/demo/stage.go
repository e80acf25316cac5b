package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

//go:embed manifests
var manifests embed.FS

// within bounds every wait.
const within = 20 * time.Second

// stage is where the steps play: a cluster, an author, a transcript.
type stage struct {
	client client.Client
	out    *transcript
}

// HandleWarningHeader implements rest.WarningHandler.
func (s *stage) HandleWarningHeader(_ int, _ string, text string) { s.out.warning(text) }

func newStage(ctx context.Context, cp *controlplane.ControlPlane, out *transcript) (*stage, error) {
	s := &stage{out: out}
	config := rest.CopyConfig(cp.Config)
	config.WarningHandler = s
	var err error
	if s.client, err = client.New(config, client.Options{Scheme: cp.Client.Scheme()}); err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payments", Labels: map[string]string{"team": "payments"}}}
	return s, s.client.Create(ctx, namespace)
}

func load(name string) ([]*unstructured.Unstructured, string, error) {
	raw, err := manifests.ReadFile("manifests/" + name)
	if err != nil {
		return nil, "", err
	}
	objects, err := controlplane.Decode(bytes.NewReader(raw))
	return objects, string(raw), err
}

// apply applies a manifest as kubectl apply --server-side does, and returns the first refusal.
func (s *stage) apply(ctx context.Context, name string, show bool) error {
	objects, text, err := load(name)
	if err != nil {
		return err
	}
	s.out.command("kubectl apply --server-side -f " + name)
	if show {
		s.out.block(text)
	}
	for _, object := range objects {
		//nolint:staticcheck // an unstructured apply
		if err := s.client.Patch(ctx, object, client.Apply, client.FieldOwner("author")); err != nil {
			s.out.bad(fmt.Sprintf("Error from server (%s): %v", apierrors.ReasonForError(err), err))
			return err
		}
		s.out.good(strings.ToLower(object.GetKind()) + "/" + object.GetName() + " applied")
	}
	return nil
}

// get returns a stored object; the returned error is NotFound's where there is none.
func (s *stage) get(ctx context.Context, version, kind, namespace, name string) (*unstructured.Unstructured, error) {
	out := &unstructured.Unstructured{}
	out.SetAPIVersion(version)
	out.SetKind(kind)
	return out, s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, out)
}

const istio = "networking.istio.io/v1"

// print shows a stored object without what the API server keeps for itself.
func (s *stage) print(object *unstructured.Unstructured) error {
	shown := object.DeepCopy()
	for _, field := range []string{"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation"} {
		unstructured.RemoveNestedField(shown.Object, "metadata", field)
	}
	raw, err := yaml.Marshal(shown.Object)
	if err != nil {
		return err
	}
	s.out.command(fmt.Sprintf("kubectl get %s -n %s %s -o yaml", strings.ToLower(object.GetKind()), object.GetNamespace(), object.GetName()))
	s.out.block(string(raw))
	return nil
}

// await waits for a condition of the cluster.
func await(ctx context.Context, what string, condition func() (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, within, true, func(context.Context) (bool, error) { return condition() })
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// gone says whether an object is not there.
func gone(err error) (bool, error) {
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

func expect(ok bool, what string) error {
	if !ok {
		return errors.New("not so: " + what)
	}
	return nil
}
