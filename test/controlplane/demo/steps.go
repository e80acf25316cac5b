package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

const (
	host    = "api.stripe.com"
	gateway = controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"
)

type step struct {
	title string
	play  func(context.Context, *stage) error
}

func steps() []step {
	return []step{
		{"The platform team says which hosts payments may reach", applyPolicy},
		{"An allowed entry is sealed: its only endpoint is the egress gateway", applyEntry},
		{"The exit side appeared by itself", showExits},
		{"A host that is not on the list", refuseHost},
		{"A VirtualService that led straight out gets the gateway in its route", injectRoute},
		{"The hand-written hop of Istio's guide, for port 80 only, on top: 443 stays sealed", applyGuide},
		{"The same apply again changes nothing", applyAgain},
		{"The last entry goes, and the exit with it", deleteEntry},
	}
}

func applyPolicy(ctx context.Context, s *stage) error {
	if err := s.apply(ctx, "policy.yaml", true); err != nil {
		return err
	}
	return await(ctx, "EgressPolicy Ready", func() (bool, error) {
		policy, err := s.get(ctx, "egress-governor.io/v1alpha1", "EgressPolicy", "", "payments-hosts")
		return condition(policy, "Ready"), err
	})
}

func condition(object *unstructured.Unstructured, name string) bool {
	return controlplane.Met(object, name, "True")
}

func applyEntry(ctx context.Context, s *stage) error {
	if err := s.apply(ctx, "entry.yaml", true); err != nil {
		return err
	}
	s.out.command("kubectl wait --for=condition=ExitReady serviceentry/stripe -n payments")
	var entry *unstructured.Unstructured
	err := await(ctx, "ExitReady", func() (ok bool, err error) {
		entry, err = s.get(ctx, istio, "ServiceEntry", "payments", "stripe")
		return condition(entry, "ExitReady"), err
	})
	if err != nil {
		return err
	}
	return errors.Join(s.print(entry), sealed(entry))
}

func sealed(entry *unstructured.Unstructured) error {
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	if err := expect(len(endpoints) == 1, "one endpoint"); err != nil {
		return err
	}
	endpoint, _ := endpoints[0].(map[string]any)
	ports, _ := endpoint["ports"].(map[string]any)
	return expect(endpoint["address"] == gateway && ports["http"] == int64(80) && ports["tls"] == int64(443),
		"the gateway is the endpoint on 80 and on 443")
}

func showExits(ctx context.Context, s *stage) error {
	gateway, err := s.get(ctx, istio, "Gateway", controlplane.GatewayNamespace, "egress-governor-default")
	if err != nil {
		return err
	}
	exit, err := controlplane.ExitSet(ctx, s.client, controlplane.GatewayNamespace, host)
	if err != nil {
		return err
	}
	for _, object := range append([]*unstructured.Unstructured{gateway}, exit...) {
		if err := s.print(object); err != nil {
			return err
		}
	}
	return nil
}

func refuseHost(ctx context.Context, s *stage) error {
	err := s.apply(ctx, "refused.yaml", true)
	if err == nil {
		return errors.New("it was not refused")
	}
	want := `payments-hosts: spec.hosts[0]: host "evil.io" is not allowed in namespace "payments" (allowed-hosts).` + "\nFix: "
	if err := expect(strings.Contains(err.Error(), want), want); err != nil {
		return err
	}
	absent, err := gone(second(s.get(ctx, istio, "ServiceEntry", "payments", "evil")))
	return errors.Join(err, expect(absent, "nothing was stored"))
}

func second(_ *unstructured.Unstructured, err error) error { return err }

func injectRoute(ctx context.Context, s *stage) error {
	if err := s.apply(ctx, "route.yaml", true); err != nil {
		return err
	}
	stored, err := s.get(ctx, istio, "VirtualService", "payments", "stripe-timeouts")
	if err != nil {
		return err
	}
	found := egress.Destinations(stored)
	return errors.Join(s.print(stored), expect(len(found) == 1 && found[0].Host() == gateway, "the route leads to the gateway"))
}

func applyGuide(ctx context.Context, s *stage) error {
	if err := s.apply(ctx, "guide.yaml", true); err != nil {
		return err
	}
	vs, err := s.get(ctx, istio, "VirtualService", "payments", "stripe-through-egress-gateway")
	if err != nil {
		return err
	}
	found := egress.Destinations(vs)
	if err := expect(len(found) == 2 && found[0].Host() == gateway && found[1].Host() == host, "both hand-written legs are as they were"); err != nil {
		return err
	}
	entry, err := s.get(ctx, istio, "ServiceEntry", "payments", "stripe")
	if err != nil {
		return err
	}
	s.out.good("both hand-written legs are left as they are, and the entry still ends at the gateway, on 80 and on 443")
	return sealed(entry)
}

func applyAgain(ctx context.Context, s *stage) error {
	before, err := s.get(ctx, istio, "ServiceEntry", "payments", "stripe")
	if err != nil {
		return err
	}
	if err := s.apply(ctx, "entry.yaml", false); err != nil {
		return err
	}
	after, err := s.get(ctx, istio, "ServiceEntry", "payments", "stripe")
	if err != nil {
		return err
	}
	s.out.good(fmt.Sprintf("resourceVersion %s before, %s after", before.GetResourceVersion(), after.GetResourceVersion()))
	return expect(before.GetResourceVersion() == after.GetResourceVersion(), "the object is unchanged")
}

func deleteEntry(ctx context.Context, s *stage) error {
	entry, err := s.get(ctx, istio, "ServiceEntry", "payments", "stripe")
	if err != nil {
		return err
	}
	s.out.command("kubectl delete serviceentry -n payments stripe")
	if err := s.client.Delete(ctx, entry); err != nil {
		return err
	}
	if err := await(ctx, "the exit goes", func() (bool, error) {
		exit, err := controlplane.ExitSet(ctx, s.client, controlplane.GatewayNamespace, host)
		return len(exit) == 0, err
	}); err != nil {
		return err
	}
	s.out.good("the exit set of " + host + " is gone")
	return nil
}
