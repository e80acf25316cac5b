package main

import (
	"bytes"
	"context"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// othersWithin bounds the wait for those who apply the chart.
const othersWithin = 2 * time.Minute

// others returns an installer that writes what is to be applied to a file, and waits until it is.
func others(file string) func(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	return func(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
		var out bytes.Buffer
		for _, object := range objects {
			raw, err := yaml.Marshal(object.Object)
			if err != nil {
				return err
			}
			out.WriteString("---\n")
			out.Write(raw)
		}
		// Whoever finds the file finds all of it.
		if err := os.WriteFile(file+".part", out.Bytes(), 0o600); err != nil {
			return err
		}
		if err := os.Rename(file+".part", file); err != nil {
			return err
		}
		return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, othersWithin, true, func(ctx context.Context) (bool, error) {
			for _, object := range objects {
				err := c.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy())
				if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
					return false, nil
				}
				if err != nil {
					return false, err
				}
			}
			return true, nil
		})
	}
}
