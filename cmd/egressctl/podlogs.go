package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/egress-governor/egress-governor/internal/discover"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// pods reads the logs of the sidecars of a cluster's governed namespaces. The first error is that of those that could not be read.
func (l *logs) pods(cmd *cobra.Command, into *discover.Log, mesh *egress.Mesh, stored []manifest.Object) (unread, err error) {
	config, err := l.rest()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	of, err := l.sidecars(cmd.Context(), client, governed(mesh, stored))
	if err != nil {
		return nil, err
	}
	bar := newProgress(cmd.ErrOrStderr(), len(of))
	defer bar.end()
	var errs []error
	for _, pod := range of {
		if err := l.podLog(cmd.Context(), client, pod, into); err != nil {
			errs = append(errs, fmt.Errorf("log of pod %s/%s: %w", pod.Namespace, pod.Name, err))
		}
		bar.step()
	}
	return errors.Join(errs...), cmd.Context().Err()
}

// sidecar is the name of the container of an Envoy of Istio's.
const sidecar = "istio-proxy"

// sidecars returns the pods that have one, of the namespaces that are asked for.
func (l *logs) sidecars(ctx context.Context, client kubernetes.Interface, governed map[string]bool) (out []corev1.Pod, err error) {
	namespace := l.namespace
	if l.all {
		namespace = metav1.NamespaceAll
	} else if !governed[namespace] {
		return nil, fmt.Errorf("namespace %q is not there, or not governed", namespace)
	}
	next := ""
	for {
		page, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: l.selector, Limit: 500, Continue: next})
		if err != nil {
			return nil, fmt.Errorf("pods cannot be read: %w", err)
		}
		for _, pod := range page.Items {
			containers := slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers)
			has := slices.ContainsFunc(containers, func(container corev1.Container) bool { return container.Name == sidecar })
			if has && governed[pod.Namespace] && pod.Status.Phase != corev1.PodPending {
				out = append(out, pod)
			}
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no pod of the governed namespaces that are asked for has a sidecar")
	}
	return out, nil
}

// governed returns the namespaces whose objects the webhook judges.
func governed(mesh *egress.Mesh, stored []manifest.Object) map[string]bool {
	out := map[string]bool{}
	for _, object := range stored {
		if object.GetKind() == "Namespace" && mesh.Governed.Matches(labels.Set(object.GetLabels())) {
			out[object.GetName()] = true
		}
	}
	return out
}

func (l *logs) podLog(ctx context.Context, client kubernetes.Interface, pod corev1.Pod, into *discover.Log) error {
	options := &corev1.PodLogOptions{Container: sidecar}
	if l.since > 0 {
		seconds := max(1, int64(l.since.Seconds()))
		options.SinceSeconds = &seconds
	}
	stream, err := client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // it was read
	return into.Read(stream, pod.Namespace, workload(pod))
}

// workload returns the name of what made a pod. Whoever writes a pod may name any owner.
func workload(pod corev1.Pod) string {
	for _, owner := range pod.OwnerReferences {
		if owner.Kind != "ReplicaSet" && len(validation.IsDNS1123Subdomain(owner.Name)) == 0 {
			return owner.Name
		}
	}
	return discover.WorkloadOf(pod.Name)
}
