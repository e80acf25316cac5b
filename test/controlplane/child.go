package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// child is a process that this one started.
type child struct {
	pid  int
	line []string
}

// child finds the one of kube-apiserver or etcd, which envtest keeps to itself.
func (c *ControlPlane) child(name string) (*child, error) {
	if restarted := c.restarted[name]; restarted != nil {
		return &child{restarted.cmd.Process.Pid, restarted.cmd.Args}, nil
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// pid (name) state parent: the name may hold anything.
		_, after, _ := strings.Cut(string(raw[bytes.LastIndexByte(raw, ')')+1:]), " ")
		fields := strings.Fields(after)
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) || fields[0] == "Z" {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if filepath.Base(args[0]) == name {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return &child{pid, args}, err
		}
	}
	return nil, fmt.Errorf("%s does not run", name)
}

// answers returns why the API server is not ready.
func (c *ControlPlane) answers(ctx context.Context) error {
	clientset, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	_, err = clientset.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// poll waits until something is so, and returns why it is not.
func poll(ctx context.Context, is func(context.Context) error) error {
	last := errors.New("nothing was asked")
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, readyWithin, true, func(ctx context.Context) (bool, error) {
		last = is(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
