package review

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

const benchEntry = "{hosts: [new.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}"

// many returns a VirtualService of so many routes to one host.
func many(b *testing.B, count int) *unstructured.Unstructured {
	b.Helper()
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf("{match: [{uri: {prefix: /v%d}}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}", i)
	}
	return routes(b, "{hosts: [api.example.com], http: ["+strings.Join(list, ", ")+"]}")
}

// BenchmarkDecode reads the JSON of an entry.
func BenchmarkDecode(b *testing.B) {
	raw, err := entry(b, benchEntry).MarshalJSON()
	require.NoError(b, err)
	cost.Loop(b, func() {
		if err := (&unstructured.Unstructured{}).UnmarshalJSON(raw); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkFacts takes the facts of an entry.
func BenchmarkFacts(b *testing.B) {
	mesh, view, object := egresstest.Mesh(), egresstest.NewCluster(), entry(b, benchEntry)
	cost.Loop(b, func() {
		parsed, err := hop.ParseEntry(object)
		if err != nil {
			b.Fatal(err)
		}
		if facts := egress.EntryFacts(parsed, mesh.Gateways[0], mesh.Gateways[0], mesh, view); len(facts.Document(mesh)) == 0 {
			b.Fatal(facts)
		}
	})
}

// BenchmarkSeal makes the stored form of an entry.
func BenchmarkSeal(b *testing.B) {
	mesh, object := egresstest.Mesh(), entry(b, benchEntry)
	cost.Loop(b, func() {
		if _, err := hop.Seal(object, mesh.Gateways[0], mesh); err != nil {
			b.Fatal(err)
		}
	})
}

// remembering is a cluster that makes an exit once, as the registry does.
type remembering struct {
	*egresstest.Cluster
	exits map[[2]string]*egress.Exit
}

func (r remembering) Exit(host, gatewayNamespace string) *egress.Exit {
	key := [2]string{host, gatewayNamespace}
	if _, known := r.exits[key]; !known {
		r.exits[key] = r.Cluster.Exit(host, gatewayNamespace)
	}
	return r.exits[key]
}

// BenchmarkInject makes the stored form of a VirtualService.
func BenchmarkInject(b *testing.B) {
	mesh, view := egresstest.Mesh(), remembering{egresstest.NewCluster(), map[[2]string]*egress.Exit{}}
	for _, count := range []int{1, 20, 500} {
		b.Run(fmt.Sprintf("routes=%d", count), func(b *testing.B) {
			object := many(b, count)
			cost.Loop(b, func() {
				if _, err := hop.Inject(object, mesh.Gateways[0], mesh, view); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkReview decides on stored objects, without policies.
func BenchmarkReview(b *testing.B) {
	r := newReviewer()
	r.Policies = silent{}
	reviewed := func(name string, object *unstructured.Unstructured) {
		b.Run(name, func(b *testing.B) {
			req := stored(b, r, create(object))
			cost.Loop(b, func() {
				if outcome, err := r.Review(b.Context(), req); err != nil || outcome.Verdict != Allowed {
					b.Fatal(outcome, err)
				}
			})
		})
	}
	reviewed("entry", entry(b, benchEntry))
	for _, count := range []int{1, 20, 500} {
		reviewed(fmt.Sprintf("routes=%d", count), many(b, count))
	}
}

// silent are policies that say nothing, and remember nothing.
type silent struct{}

func (silent) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }
