package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// install makes what variants need, and returns when all answer as they are to.
func (r *run) install(ctx context.Context, of []variant) error {
	for _, one := range of {
		for _, object := range one.objects() {
			if err := r.plane.Client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
				return err
			}
		}
	}
	return r.enforced(ctx)
}

// withdraw takes away the policies of variants.
func (r *run) withdraw(ctx context.Context, of []variant) error {
	for _, one := range of {
		for _, object := range one.objects()[1:] {
			if err := r.plane.Client.Delete(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

// enforced returns when each variant answers as it is to: what nobody judges and the pair take any host, and whoever judges hosts
// refuses one that is not allowed.
func (r *run) enforced(ctx context.Context) error {
	for _, one := range variants {
		refuses := one.policies > 0
		var last error
		err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			last = r.post(ctx, entries(one.namespace())+"?dryRun=All", entry(one.namespace(), "other", "other.example.net"))
			denials := 0
			if last != nil {
				denials = strings.Count(last.Error(), "not allowed")
			}
			return refuses == (denials > 0), nil
		})
		if err != nil {
			return fmt.Errorf("%s does not answer as it is to: %w: %w", one.name, err, last)
		}
		if err := r.post(ctx, entries(one.namespace())+"?dryRun=All", entry(one.namespace(), "bench", "new.bench.example.com")); err != nil {
			return err
		}
	}
	// Policies come one after the other.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second):
		return nil
	}
}

func newResults(ctx context.Context, root string) *results {
	out := &results{Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(), Kubernetes: kubernetes(root), DryRun: map[string][]row{}}
	out.Machine = fmt.Sprintf("%d cores of %s, %s", runtime.NumCPU(), processor(), memory())
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		out.Load = strings.Join(strings.Fields(string(raw))[:3], " ")
	}
	rev := exec.CommandContext(ctx, "git", "-C", root, "rev-parse", "--short", "HEAD")
	if raw, err := rev.Output(); err == nil {
		out.Commit = strings.TrimSpace(string(raw))
	}
	return out
}

// kubernetes is the version that tools/go.mod pins.
func kubernetes(root string) string {
	raw, _ := os.ReadFile(filepath.Join(root, "tools", "go.mod"))
	found := regexp.MustCompile(`k8s\.io/kubernetes (\S+)`).FindSubmatch(raw)
	if found == nil {
		return "unknown"
	}
	return string(found[1])
}

func processor() string { return fieldOf("/proc/cpuinfo", "model name") }

func memory() string {
	kib := 0
	_, _ = fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%d kB", &kib)
	return fmt.Sprintf("%d GiB", kib>>20)
}

// fieldOf returns what a file of lines "name: value" says of a name.
func fieldOf(file, name string) string {
	raw, _ := os.ReadFile(file)
	for line := range strings.SplitSeq(string(raw), "\n") {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
