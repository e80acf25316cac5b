package controlplane

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// InTree returns the options by which tests run in a tree: in its folder .run/<name>, with the webhook built there, and the assets
// of KUBEBUILDER_ASSETS, or else those that make builds.
func InTree(root, name string) Options {
	run := filepath.Join(root, ".run")
	return Options{
		Folder: filepath.Join(run, name), Webhook: filepath.Join(run, "bin", "webhook"),
		Assets: cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join(run, "assets")),
	}
}

// BuildWebhook builds the webhook where InTree has it, so that go test alone never judges an old one.
func BuildWebhook(root string) error {
	build := exec.Command("go", "build", "-o", InTree(root, "").Webhook, "./cmd/webhook")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the webhook: %w", err)
	}
	return nil
}
