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
	return build(root, "-o", InTree(root, "").Webhook, "./cmd/webhook")
}

// BuildEgressctl builds egressctl beside the webhook, and returns where it stands.
func BuildEgressctl(root string) (binary string, err error) {
	if binary, err = filepath.Abs(filepath.Join(root, ".run", "bin", "egressctl")); err != nil {
		return "", err
	}
	return binary, build(root, "-o", binary, "./cmd/egressctl")
}

// BuildReceiver builds the OTLP receiver of OpenTelemetry's collector beside the webhook, and returns where it stands.
func BuildReceiver(root string) (binary string, err error) {
	if binary, err = filepath.Abs(filepath.Join(root, ".run", "bin", "otlp")); err != nil {
		return "", err
	}
	return binary, build(filepath.Join(root, "test", "otlp"), "-o", binary, ".")
}

// BuildHelm builds helm's own program where make has it, and returns where it stands.
func BuildHelm(root string) (binary string, err error) {
	if binary, err = filepath.Abs(filepath.Join(root, ".run", "tools", "helm")); err != nil {
		return "", err
	}
	return binary, build(filepath.Join(root, "tools", "cluster"), "-o", binary, "helm.sh/helm/v4/cmd/helm")
}

// build builds as make does, so that it finds the packages in the cache.
func build(root string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-tags", "grpcnotrace"}, args...)...)
	cmd.Dir, cmd.Stderr, cmd.Env = root, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", args[len(args)-1], err)
	}
	return nil
}
