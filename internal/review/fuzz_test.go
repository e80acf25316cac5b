package review

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// forms are the meshes whose stored forms differ, each with its cluster.
var forms = []func() (*egress.Mesh, *egresstest.Cluster){
	func() (*egress.Mesh, *egresstest.Cluster) { return egresstest.Mesh(), egresstest.NewCluster() },
	func() (*egress.Mesh, *egresstest.Cluster) {
		return egresstest.MutualTLS(), egresstest.NewMutualCluster()
	},
	func() (*egress.Mesh, *egresstest.Cluster) { return egresstest.ByRoutes(), egresstest.NewLedCluster() },
	func() (*egress.Mesh, *egresstest.Cluster) { return egresstest.Ambient(), egresstest.NewCluster() },
	func() (*egress.Mesh, *egresstest.Cluster) { return egresstest.TwoGateways(), egresstest.NewCluster() },
	func() (*egress.Mesh, *egresstest.Cluster) {
		mesh := egresstest.Mesh()
		mesh.Block, mesh.OwnNamespace, mesh.IstioNamespace = true, true, "istio-system"
		return mesh, egresstest.NewCluster()
	},
}

// formed returns a reviewer of one of the forms, and what its policies were asked.
func formed(of uint8) (*Reviewer, *policies) {
	mesh, cluster := forms[int(of)%len(forms)]()
	asked := &policies{}
	return &Reviewer{Mesh: mesh, View: cluster, Policies: asked}, asked
}

// manifests calls back with every governed object of the routing cases, with its spec in JSON.
func manifests(f *testing.F, each func(kind, spec string)) {
	f.Helper()
	known := map[string]bool{}
	require.NoError(f, filepath.WalkDir("../../test/routing/cases", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" || filepath.Base(name) == "case.yaml" {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			var object unstructured.Unstructured
			if yaml.Unmarshal([]byte(document), &object.Object) != nil || object.Object["spec"] == nil {
				continue
			}
			spec, err := utiljson.Marshal(object.Object["spec"])
			if err != nil {
				return err
			}
			if one := object.GetKind() + string(spec); !known[one] {
				known[one] = true
				each(object.GetKind(), string(spec))
			}
		}
		return nil
	}))
}

// drawn returns the object of a kind with a spec in JSON and an annotation, as the API server's decoder gives it; nil where
// that is none.
func drawn(kind, spec, annotation string) *unstructured.Unstructured {
	row, known := kinds[kind]
	var content any
	if !known || utiljson.Unmarshal([]byte(spec), &content) != nil {
		return nil
	}
	out := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": row.group + "/" + versions[row.group][0], "kind": kind,
		"metadata": map[string]any{"name": "x", "namespace": "payments"}, "spec": content,
	}}
	if annotation != "" {
		out.SetAnnotations(map[string]string{hop.IntentAnnotation: annotation})
	}
	return out
}

// FuzzStoredForms: of an object of any kind, with any record, there is one stored form or a refusal that can be followed; it
// has what its author wrote, and nothing is allowed in another that policies did not see.
func FuzzStoredForms(f *testing.F) {
	f.Add("ServiceEntry", uint8(0), https, "[null]")
	f.Add("Sidecar", uint8(5), `{"outboundTrafficPolicy":{}}`, `[{"now":{},"paths":["spec.outboundTrafficPolicy"]}]`)
	form := uint8(0)
	manifests(f, func(kind, spec string) {
		f.Add(kind, form, spec, "")
		form = (form + 1) % uint8(len(forms))
	})
	f.Fuzz(func(t *testing.T, kind string, form uint8, spec, annotation string) {
		x := drawn(kind, spec, annotation)
		if x == nil {
			return
		}
		r, _ := formed(form)
		before := x.DeepCopy()
		stored, err := r.Rewrite(create(x))
		require.Equal(t, before.Object, x.Object, "an object that is given is not touched")
		if err != nil {
			followable(t, err)
			outcome, err := r.Review(t.Context(), create(x))
			require.NoError(t, err)
			require.NotEqual(t, Allowed, outcome.Verdict, "what has no stored form is not stored")
			return
		}
		want, got := intentOf(t, r, x), intentOf(t, r, stored)
		require.Equal(t, want, got, "Intent(Rewrite(x)) == Intent(x)")
		if annotation == "" && !strings.Contains(spec, "istio-system") {
			require.Equal(t, x.Object, got, "nothing the author wrote is lost")
		}
		again, err := r.Rewrite(create(stored))
		require.NoError(t, err)
		require.Equal(t, stored.Object, again.Object, "Rewrite(Rewrite(x)) == Rewrite(x)")
		_, err = r.Review(t.Context(), create(stored))
		require.NoError(t, err)
	})
}

// followable wants a refusal to say what, where and what to do.
func followable(t *testing.T, err error) {
	t.Helper()
	var refusals Refusals
	require.ErrorAs(t, err, &refusals)
	require.NotEmpty(t, refusals)
	for _, refusal := range refusals {
		assert.NotEmpty(t, refusal.Code)
		assert.NotEmpty(t, refusal.Field, refusal.Code)
		assert.NotEmpty(t, refusal.Message, refusal.Code)
		assert.NotEmpty(t, refusal.Fix, refusal.Code)
	}
}

func intentOf(t *testing.T, r *Reviewer, x *unstructured.Unstructured) map[string]any {
	t.Helper()
	s, err := r.subject(create(x))
	require.NoError(t, err)
	return s.intent.Object
}

// FuzzAnnotations: whatever record stands beside whatever spec, what the API server stores of it leads an exit nowhere but
// where the policies were told, and steers a sidecar by nothing that they did not see.
func FuzzAnnotations(f *testing.F) {
	records := []string{
		"", "{", "[]", `[{"was":[{"address":"evil.test"}],"now":[{"address":"` + egresstest.GatewayService + `"}],"paths":["spec.endpoints","spec.hosts"]}]`,
		`[{"was":["good.test"],"now":["evil.test"],"paths":["spec.hosts"]}]`,
		`[{"was":{"host":"api.example.com"},"now":{"host":"evil.test"},"paths":["spec.http[0].route[0].destination"]}]`,
		`[{"now":{"request":{"set":{"Host":"evil.test"}}},"paths":["spec.http[0].route[0].headers"]}]`,
		`{"gateway":"` + egresstest.GatewayService + `","resolution":"STATIC","endpoints":[{"address":"192.0.2.1"}]}`,
	}
	const sealed = `{"hosts":["evil.test"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}],"endpoints":[{"address":"` + egresstest.GatewayService + `","ports":{"tls":443}}]}`
	for form := range forms {
		for _, record := range records {
			f.Add("ServiceEntry", uint8(form), sealed, record)
			f.Add("VirtualService", uint8(form), `{"hosts":["api.example.com"],"http":[{"route":[{"destination":{"host":"evil.test"},"headers":{"request":{"set":{"Host":"evil.test"}}}}]}]}`, record)
			f.Add("DestinationRule", uint8(form), `{"host":"api.example.com","trafficPolicy":{"tls":{}}}`, `[{"was":{"mode":"SIMPLE"},"now":{},"paths":["spec.trafficPolicy.tls"]}]`)
		}
	}
	f.Fuzz(func(t *testing.T, kind string, form uint8, spec, annotation string) {
		x := drawn(kind, spec, annotation)
		if x == nil {
			return
		}
		r, asked := formed(form)
		outcome, err := r.Review(t.Context(), create(x))
		require.NoError(t, err)
		if outcome.Verdict != Allowed {
			require.NotEmpty(t, outcome.Findings)
			return
		}
		if len(asked.asked) == 0 {
			// What we keep ourselves is exactly as it is to be.
			stored, err := r.Rewrite(create(x))
			require.NoError(t, err)
			require.Equal(t, x.Object["spec"], stored.Object["spec"])
			return
		}
		judged := &unstructured.Unstructured{Object: asked.asked[0].Document["object"].(map[string]any)}
		steersAsJudged(t, r, x, judged)
		if kind == "ServiceEntry" {
			exitsAsJudged(t, r, x, judged)
		}
	})
}

// steersAsJudged wants what is stored to be the form of what was judged, or just that.
func steersAsJudged(t *testing.T, r *Reviewer, x, judged *unstructured.Unstructured) {
	t.Helper()
	if equality.Semantic.DeepEqual(x.Object["spec"], judged.Object["spec"]) {
		return
	}
	if _, sealed := hop.SealedTo(x, r.Mesh); sealed && r.Mesh.ByRoutes() {
		// It was sealed before routes were to lead its calls, and is led once it is written again.
		mesh := *r.Mesh
		mesh.Seal = true
		r = &Reviewer{Mesh: &mesh, View: r.View, Policies: r.Policies}
	}
	if x.GetKind() == "DestinationRule" && ruleForm(&subject{Request: create(x), Reviewer: r, intent: judged}, sealedRule(t, r, judged)) {
		// The entry of the host may have come or gone since.
		return
	}
	form, err := r.Rewrite(create(judged))
	var refusals Refusals
	if errors.As(err, &refusals) {
		require.Fail(t, "what was judged has no stored form", refusals.Error())
	}
	require.Equal(t, form.Object["spec"], x.Object["spec"], "what is stored is the form of what was judged")
}

// sealedRule is a rule as it is sealed for an entry that is known no more.
func sealedRule(t *testing.T, r *Reviewer, judged *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out := judged.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(out, nil, r.Mesh, r.View))
	return out
}

// exitsAsJudged wants the exits that controllers make of a stored entry to lead where its judged intent says.
func exitsAsJudged(t *testing.T, r *Reviewer, x, judged *unstructured.Unstructured) {
	t.Helper()
	hosts := registry.New(r.Mesh)
	hosts.PutNamespace(x.GetNamespace(), nil)
	stored := hosts.Read(x)
	hosts.PutEntry(stored)
	intent, err := egress.ParseServiceEntry(judged)
	require.NoError(t, err)
	told := map[string]bool{}
	for _, host := range intent.Hosts {
		told[egress.Canonical(host)] = true
	}
	for _, endpoint := range intent.Endpoints {
		told["at "+egress.Canonical(endpoint.Address)] = true
	}
	for _, address := range intent.Addresses {
		told["at "+strings.TrimSuffix(strings.TrimSuffix(address, "/32"), "/128")] = true
	}
	require.NotNil(t, stored.Entry)
	for _, host := range stored.Entry.Hosts {
		require.True(t, told[host], "host %s", host)
		if len(intent.Endpoints) == 0 {
			told["at "+host] = true
		}
		for _, gw := range r.Mesh.Gateways {
			set, err := hosts.ExitSet(gw.Namespace(), host)
			require.NoError(t, err)
			leadsAsTold(t, set, host, told)
		}
	}
}

func leadsAsTold(t *testing.T, set []hop.Object, host string, told map[string]bool) {
	t.Helper()
	for _, object := range set {
		entry, is := object.(*networkingv1.ServiceEntry)
		if !is {
			continue
		}
		require.Equal(t, []string{host}, entry.Spec.Hosts)
		for _, endpoint := range entry.Spec.Endpoints {
			require.True(t, told["at "+egress.Canonical(endpoint.Address)], "endpoint %s", endpoint.Address)
		}
	}
}
