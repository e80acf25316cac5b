package reliability

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// tenants are the namespaces that the load comes from.
var tenants = []string{"team-a", "team-b", "team-c", "team-d"}

// world is the control plane with two replicas behind one Service.
var world *deployment

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	if err := controlplane.BuildWebhook(root); err != nil {
		return 1, err
	}
	options := controlplane.InTree(root, "reliability")
	options.Bare = true
	if err := os.RemoveAll(options.Folder); err != nil {
		return 1, err
	}
	ctx := context.Background()
	plane, err := controlplane.Start(ctx, options)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	service, err := newService()
	if err != nil {
		return 1, err
	}
	world = &deployment{plane: plane, service: service, logs: options.Folder}
	for _, name := range tenants {
		if err := plane.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return 1, err
		}
	}
	if err := plane.Install(ctx, service.port()); err != nil {
		return 1, err
	}
	defer world.stop()
	if err := world.scale(ctx, replicas); err != nil {
		return 1, err
	}
	if err := world.ready(ctx, replicas); err != nil {
		return 1, err
	}
	if err := plane.Asked(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
