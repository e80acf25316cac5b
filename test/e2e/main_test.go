//go:build e2e

// Package e2e shows on a real mesh what test/routing shows on paper: real sidecars, a real gateway, and servers outside
// the mesh that say who called them. It needs a kubeconfig of a cluster that cluster/up.sh made,
// and PROBE_IMAGE and DATABASE_IMAGE, the images of ./probe and ./database.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// startWithin bounds the start of pods.
const startWithin = 3 * time.Minute

// poll is how often a condition is looked at.
const poll = 100 * time.Millisecond

// cluster is the mesh and the world around it, shared by all tests.
type cluster struct {
	client.Client
	kube *kubernetes.Clientset
	// glass is a client to whom no guard applies.
	glass client.Client
	// servers are the addresses of those who know their callers, outside is that of the first.
	servers map[string]string
	outside string
	// apps are the addresses of the governed clients, by namespace and name.
	apps map[string]string
	// open are the times in which routes alone led calls to a gateway, and not every proxy knew them yet.
	open [][2]time.Time
}

var shared *cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(zap.New())
	ctx := context.Background()
	var err error
	if shared, err = connect(); err != nil {
		return 1, err
	}
	if err := shared.build(ctx); err != nil {
		return 1, err
	}
	code := m.Run()
	// The last word: whatever the tests did meanwhile, no governed client ever reached the outside itself.
	direct, seen, err := shared.direct(ctx)
	if err == nil && len(direct) > 0 {
		err = fmt.Errorf("governed clients reached the outside directly: %v", direct)
	}
	if err == nil {
		fmt.Printf("%d connections arrived outside, none from a governed client\n", seen)
	}
	if os.Getenv("KEEP") == "" {
		err = errors.Join(err, shared.tearDown(ctx))
	}
	return code, err
}

func connect() (*cluster, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), networkingv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	breaking := rest.CopyConfig(config)
	breaking.Impersonate = rest.ImpersonationConfig{UserName: "firefighter", Groups: []string{"system:masters", "egress-governor:break-glass"}}
	glass, err := client.New(breaking, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	return &cluster{Client: c, kube: kube, glass: glass, apps: map[string]string{}, servers: map[string]string{}}, err
}
