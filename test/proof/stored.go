package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Stored is what a cluster holds once the manifests of a case were applied to it.
type Stored struct {
	Mesh *egress.Mesh
	// Captures says that sidecars capture DNS.
	Captures bool
	// Objects are all of them, gateways' Services among them.
	Objects []*unstructured.Unstructured
	// Answers are what is answered to each object that is applied, in their order.
	Answers []dryrun.Answer
	// Written are those of them that the case wrote or takes for granted, as their authors wrote them.
	Written []*unstructured.Unstructured
}

// Store has the manifests of a case applied, by a transport of By. The error says which object was refused though it must
// not be, or was stored though it must not be.
func (c *Case) Store(ctx context.Context, by string) (*Stored, error) {
	out, err := c.store(ctx, by)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.folder, err)
	}
	return out, nil
}

func (c *Case) store(ctx context.Context, by string) (*Stored, error) {
	configuration, err := c.configuration(by)
	if err != nil {
		return nil, err
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return nil, err
	}
	cluster, given, applied, err := c.Session(by)
	if err != nil {
		return nil, err
	}
	out := &Stored{Mesh: mesh, Captures: configuration.DNSCapture == "On", Written: given}
	if out.Answers, err = c.apply(ctx, cluster, applied, by); err != nil {
		return nil, err
	}
	for i, object := range applied {
		if out.Answers[i].Allowed() && object.GetKind() != "EgressPolicy" {
			out.Written = append(out.Written, object)
		}
	}
	if out.Objects, err = cluster.Objects(); err != nil {
		return nil, err
	}
	return out, nil
}

// Session returns the cluster to which the manifests of a case are applied by a transport, what it holds, and the manifests.
func (c *Case) Session(by string) (cluster *dryrun.Session, given, applied []*unstructured.Unstructured, err error) {
	configuration, err := c.configuration(by)
	if err != nil {
		return nil, nil, nil, err
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return nil, nil, nil, err
	}
	before, applied, err := c.Objects()
	if err != nil {
		return nil, nil, nil, err
	}
	standards, err := Standards(configuration)
	if err != nil {
		return nil, nil, nil, err
	}
	cluster, err = dryrun.New(dryrun.Options{Configuration: configuration, Standards: standards, Server: server, Sending: dryrun.Sending{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}})
	if err != nil {
		return nil, nil, nil, err
	}
	given = append(c.surroundings(mesh, slices.Concat(before, applied)), before...)
	for _, object := range given {
		if err := cluster.Store(manifest.Object{Unstructured: object, File: c.folder}); err != nil {
			return nil, nil, nil, err
		}
	}
	return cluster, given, applied, nil
}

// server knows the kinds of cases; what guards judge is no matter of calls.
var server = apiserver.New()

// engines have what baselines have in force: cases share them, and so do examples.
var engines sync.Map

// Standards are dryrun.Standards, made once for each baseline.
func Standards(configuration *config.Configuration) (*policy.Engine, error) {
	said, err := json.Marshal(configuration.Standards())
	if err != nil {
		return nil, err
	}
	if known, is := engines.Load(string(said)); is {
		return known.(*policy.Engine), nil
	}
	out, err := dryrun.Standards(configuration)
	if err == nil {
		engines.Store(string(said), out)
	}
	return out, err
}

// apply returns the answers.
func (c *Case) apply(ctx context.Context, cluster *dryrun.Session, objects []*unstructured.Unstructured, by string) (answers []dryrun.Answer, err error) {
	refused, told := map[string]dryrun.Answer{}, map[string]string{}
	for _, object := range objects {
		answer, err := cluster.Answer(ctx, manifest.Object{Unstructured: object})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", NameOf(object), err)
		}
		answers = append(answers, answer)
		if !answer.Allowed() {
			refused[NameOf(object)] = answer
			continue
		}
		told[NameOf(object)] += "\n" + strings.Join(answer.Warnings, "\n")
	}
	for _, name := range c.Deleted {
		kind, namespace, of, _ := cut(name)
		for _, object := range objects {
			if object.GetKind() == kind && object.GetNamespace() == namespace && object.GetName() == of {
				cluster.Delete(object)
			}
		}
	}
	return answers, errors.Join(append(c.compare(refused, by), c.untold(told, by)...)...)
}

func cut(name string) (kind, namespace, of string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// compare holds what was refused against what must be.
func (c *Case) compare(refused map[string]dryrun.Answer, by string) (errs []error) {
	expected := map[string]bool{}
	for _, want := range c.Refused {
		if !Concerns(want.Transports, by) {
			continue
		}
		expected[want.Object] = true
		outcome, is := refused[want.Object]
		if !is {
			errs = append(errs, fmt.Errorf("%s is stored, and must be refused by %s", want.Object, want.Code))
			continue
		}
		if !slices.ContainsFunc(outcome.Findings, func(finding review.Finding) bool {
			return finding.Code == want.Code && (want.Field == "" || finding.Field == want.Field)
		}) {
			errs = append(errs, fmt.Errorf("%s is refused, but not by %s at %q: %s", want.Object, want.Code, want.Field, lines(outcome.Findings)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if !expected[name] {
			errs = append(errs, fmt.Errorf("%s must be stored, and is %s: %s", name, refused[name].Verdict, lines(refused[name].Findings)))
		}
	}
	return errs
}

// untold returns what authors were not told and must be.
func (c *Case) untold(told map[string]string, by string) (errs []error) {
	for _, want := range c.Warned {
		if Concerns(want.Transports, by) && !strings.Contains(told[want.Object], want.Says) {
			errs = append(errs, fmt.Errorf("the author of %s must be told %q, and is told: %s", want.Object, want.Says, told[want.Object]))
		}
	}
	return errs
}

func lines(findings []review.Finding) string {
	var out []string
	for _, finding := range findings {
		out = append(out, finding.Line())
	}
	return strings.Join(out, "\n")
}

// NameOf returns the name of an object as cases write it: Kind/namespace/name.
func NameOf(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

const configuration = `
apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, istio-system]}]}
`

// configuration is the webhook's, with one gateway unless the case says otherwise.
func (c *Case) configuration(by string) (*config.Configuration, error) {
	fields := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(configuration), &fields); err != nil {
		return nil, err
	}
	gateway := map[string]any{
		"name": "default", "service": "istio-egressgateway.istio-system.svc.cluster.local",
		"selector": map[string]any{"istio": "egressgateway"}, "ports": map[string]any{"http": 80, "tls": 443}, "transport": by,
	}
	maps.Copy(gateway, c.Gateway)
	fields["gateways"] = []any{gateway}
	maps.Copy(fields, c.Configuration)
	raw, err := sigsyaml.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return config.Parse(raw)
}
