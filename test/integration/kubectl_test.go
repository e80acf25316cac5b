package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/cmd/apply"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/review"
)

// kubectlFatal is what kubectl ends with.
type kubectlFatal struct{ text string }

var fatal sync.Once

// kubectl runs kubectl apply itself on a file, and returns the API server's answers to what it wrote, and what it says.
func kubectl(t *testing.T, file string, flags ...string) (answers []verdict, said string) {
	t.Helper()
	return kubectlOf(t, shared.Kubeconfig, file, flags...)
}

// kubectlOf is kubectl by a kubeconfig.
func kubectlOf(t *testing.T, kubeconfig, file string, flags ...string) (answers []verdict, said string) {
	t.Helper()
	fatal.Do(func() { cmdutil.BehaviorOnFatal(func(text string, _ int) { panic(kubectlFatal{text}) }) })
	config := genericclioptions.NewConfigFlags(false)
	config.KubeConfig = &kubeconfig
	config.WrapConfigFn = func(of *rest.Config) *rest.Config {
		of.WarningHandler, of.QPS = rest.NoWarnings{}, -1
		of.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return answering(func(request *http.Request) (*http.Response, error) {
				response, err := next.RoundTrip(request)
				if err == nil && request.Method != http.MethodGet {
					var answer verdict
					answer, err = heard(response)
					answers = append(answers, answer)
				}
				return response, err
			})
		})
		return of
	}
	var out strings.Builder
	cmd := apply.NewCmdApply("kubectl", cmdutil.NewFactory(config), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: io.Discard})
	cmd.SetArgs(append([]string{"-f", file}, flags...))
	defer func() {
		if ended, is := recover().(kubectlFatal); is {
			said = out.String() + ended.text
		}
	}()
	require.NoError(t, cmd.Execute())
	return answers, out.String()
}

type answering func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (a answering) RoundTrip(of *http.Request) (*http.Response, error) { return a(of) }

// step is an object that kubectl applies, by flags of its.
type step struct {
	spec     string
	metadata string
	flags    []string
}

// TestKubectlApplyIsAnsweredAsItIs: what egressctl review says by the cluster, before kubectl apply and kubectl apply --server-side,
// is what both of them are answered, and what is stored is what it says.
func TestKubectlApplyIsAnsweredAsItIs(t *testing.T) {
	t.Parallel()
	policy, err := policyFor(t, "kubectl", "  policy: denied-hosts\n  parameters: {hosts: [evil.kubectl.test]}\n")
	require.NoError(t, err)
	require.NotNil(t, policy)
	ns := namespace(t, map[string]string{"test": "kubectl"})
	const ports = "resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]"
	const two = "resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}]"
	server := []string{"--server-side"}
	by := func(manager string, more ...string) []string {
		return append([]string{"--server-side", "--field-manager=" + manager}, more...)
	}
	for name, row := range map[string]struct {
		before []step
		// made says that what is there was made by somebody who does not apply.
		made  string
		last  step
		code  string
		says  string
		holds map[string]any
	}{
		"new":                                 {last: step{spec: "hosts: [HOST], " + ports}},
		"new, by the server":                  {last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"again, as it is sealed":              {before: []step{{spec: "hosts: [HOST], " + ports}}, last: step{spec: "hosts: [HOST], exportTo: ['.'], " + ports}},
		"again, by the server":                {before: []step{{spec: "hosts: [HOST], " + ports, flags: server}}, last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"a field is left out":                 {before: []step{{spec: "hosts: [HOST], exportTo: ['.'], " + ports}}, last: step{spec: "hosts: [HOST], " + ports}},
		"a field is left out, by the server":  {before: []step{{spec: "hosts: [HOST], exportTo: ['.'], " + ports, flags: server}}, last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"the resolution is left out":          {before: []step{{spec: "hosts: [HOST], " + ports}}, last: step{spec: "hosts: [HOST], ports: [{number: 443, name: tls, protocol: TLS}]"}},
		"a port goes":                         {before: []step{{spec: "hosts: [HOST], " + two}}, last: step{spec: "hosts: [HOST], " + ports}},
		"a port goes, by the server":          {before: []step{{spec: "hosts: [HOST], " + two, flags: server}}, last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"a host goes":                         {before: []step{{spec: "hosts: [HOST, other-HOST], " + ports}}, last: step{spec: "hosts: [other-HOST], " + ports}},
		"endpoints of the author's":           {before: []step{{spec: "hosts: [HOST], endpoints: [{address: 192.0.2.1}], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]"}}, last: step{spec: "hosts: [HOST], endpoints: [{address: 192.0.2.2}], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]"}},
		"endpoints, by the server":            {before: []step{{spec: "hosts: [HOST], endpoints: [{address: 192.0.2.1}], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]", flags: server}}, last: step{spec: "hosts: [HOST], endpoints: [{address: 192.0.2.2}], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]", flags: server}},
		"another owns the hosts":              {before: []step{{spec: "hosts: [HOST], " + ports, flags: by("argocd")}}, last: step{spec: "hosts: [other-HOST], " + ports, flags: server}, code: "conflict"},
		"another owns them, and loses them":   {before: []step{{spec: "hosts: [HOST], " + ports, flags: by("argocd")}}, last: step{spec: "hosts: [other-HOST], " + ports, flags: by("mine", "--force-conflicts")}},
		"another's port stays":                {before: []step{{spec: "hosts: [HOST], " + two, flags: by("argocd")}}, last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"another's labels stay":               {before: []step{{spec: "hosts: [HOST], " + ports, metadata: ", labels: {a: b}", flags: by("argocd")}}, last: step{spec: "hosts: [HOST], " + ports, metadata: ", labels: {c: d}", flags: server}},
		"what kubectl had goes by the server": {before: []step{{spec: "hosts: [HOST], exportTo: ['.'], " + ports}}, last: step{spec: "hosts: [HOST], " + ports, flags: server}},
		"what was created has no last":        {made: "hosts: [HOST], exportTo: ['.'], " + ports, last: step{spec: "hosts: [HOST], " + ports}},
		"what was created, by the server":     {made: "hosts: [HOST], exportTo: ['.'], " + ports, last: step{spec: "hosts: [other-HOST], " + ports, flags: server}, code: "conflict"},
		"a policy denies":                     {before: []step{{spec: "hosts: [HOST], " + ports}}, last: step{spec: "hosts: [HOST, evil.kubectl.test], " + ports}, code: "host-denied"},
		"a policy denies, by the server":      {before: []step{{spec: "hosts: [HOST], " + ports, flags: server}}, last: step{spec: "hosts: [HOST, evil.kubectl.test], " + ports, flags: server}, code: "host-denied"},
		"no such field":                       {last: step{spec: "hosts: [HOST], hots: [], " + ports}, code: "unknown-field"},
		"no such field of a stored one":       {before: []step{{spec: "hosts: [HOST], " + ports}}, last: step{spec: "hosts: [HOST], hots: [a], " + ports}, code: "unknown-field"},
		"no such field, by the server":        {last: step{spec: "hosts: [HOST], hots: [], " + ports, flags: server}, code: "unknown-field"},
		"invalid of a stored one":             {before: []step{{spec: "hosts: [HOST], " + ports}}, last: step{spec: "hosts: [HOST], resolution: DNS, ports: [{number: 0, name: tls, protocol: TLS}]"}},
		"the record is left out":              {before: []step{{spec: "hosts: [HOST], " + ports, metadata: ", annotations: {a: b}"}}, last: step{spec: "hosts: [HOST], " + ports}},
	} {
		id := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
		t.Run(id, func(t *testing.T) {
			write := func(of step) (string, *unstructured.Unstructured) {
				text := fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: %s%s}\nspec: {%s}\n", id, ns, of.metadata, strings.ReplaceAll(of.spec, "HOST", id+".kubectl.test"))
				file := filepath.Join(t.TempDir(), "entry.yaml")
				require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
				return file, object(t, ns, text)
			}
			if row.made != "" {
				_, made := write(step{spec: row.made})
				require.NoError(t, shared.Client.Create(t.Context(), made))
			}
			for _, before := range row.before {
				file, _ := write(before)
				answers, said := kubectl(t, file, before.flags...)
				require.NotEmpty(t, answers, said)
				require.True(t, answers[len(answers)-1].stored(), said)
			}
			file, manifest := write(row.last)
			if row.made != "" || len(row.before) > 0 { // its status is the last that is written
				eventually(t, func() bool { return ready(get(t, manifest), "True") }, "ExitReady")
			}
			asked := &sent{object: manifest, resource: schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}, strict: true}
			require.NoError(t, beside.mirror.stand(t.Context(), asked))
			asked.by = dryrun.Sending{User: review.User{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}, Way: dryrun.ClientSide, Manager: "kubectl"}
			for _, flag := range row.last.flags {
				switch flag {
				case "--server-side":
					asked.by.Way = dryrun.ServerSide
				case "--force-conflicts":
					asked.by.Force = true
				default:
					asked.by.Manager = strings.TrimPrefix(flag, "--field-manager=")
				}
			}
			ours, err := beside.mirror.answer(t.Context(), asked)
			require.NoError(t, err)
			code, printed := egressctl(t, append([]string{"review", "--kubeconfig", shared.Kubeconfig, "-f", file, "--as", "admin", "--as-group", "system:masters", "-o", "json"}, row.last.flags...)...)
			answers, said := kubectl(t, file, row.last.flags...)
			require.NotEmpty(t, answers, said)
			theirs := answers[0]
			if last := answers[len(answers)-1]; theirs.stored() {
				theirs.form = last.form
			}
			assert.Equal(t, theirs.comparable(asked), ours.comparable(asked), said)

			var told struct {
				Objects []struct {
					Verdict, Message string
					Warnings         []string
					Findings         []struct{ Code string }
				}
			}
			require.NoError(t, json.Unmarshal([]byte(printed), &told), printed)
			require.Len(t, told.Objects, 1)
			assert.Equal(t, []any{theirs.stored(), theirs.message, theirs.warnings}, []any{code == 0, told.Objects[0].Message, told.Objects[0].Warnings})
			if row.code != "" {
				require.NotEmpty(t, told.Objects[0].Findings, printed)
				assert.Equal(t, row.code, told.Objects[0].Findings[0].Code)
			}
		})
	}
	require.NoError(t, client.IgnoreNotFound(shared.Client.DeleteAllOf(t.Context(), anyEntry(ns), client.InNamespace(ns))))
}

// TestAWorkloadThatStandsIsAnsweredAsIt: egressctl reads of the cluster whatever has the name of a manifest, of kinds that decide nothing,
// too. Guards leave a template alone that stays as it was, and say no to a new one.
func TestAWorkloadThatStandsIsAnsweredAsIt(t *testing.T) {
	t.Parallel()
	guarded(t)
	ns := namespace(t, injected)
	glass, _ := as(t, "before", "egress-governor:break-glass")
	deployment := podRows["excludeOutboundPorts"].workloads(t, ns)["Deployment"]
	manifest := deployment.DeepCopyObject().(client.Object)
	require.NoError(t, glass.Create(t.Context(), deployment))
	manifest.SetLabels(map[string]string{"a": "b"})
	for name, code := range map[string]int{manifest.GetName(): 0, "another": 1} {
		manifest.SetName(name)
		raw, err := json.Marshal(manifest)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "deployment.json")
		require.NoError(t, os.WriteFile(file, raw, 0o600))
		for _, flags := range [][]string{nil, {"--server-side", "--force-conflicts"}} {
			got, out := egressctl(t, append([]string{"review", "--kubeconfig", shared.Kubeconfig, "-f", file, "--as", "author", "--as-group", everyRight}, flags...)...)
			assert.Equal(t, code, got, out)
		}
	}
}

// anyEntry is a ServiceEntry of a namespace, and no more.
func anyEntry(namespace string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"})
	out.SetNamespace(namespace)
	return out
}

// TestTheAPIServerSaysWhichItIs: kubectl version, the chart's kubeVersion and egressctl check go by it.
func TestTheAPIServerSaysWhichItIs(t *testing.T) {
	t.Parallel()
	server, err := discovery.NewDiscoveryClientForConfig(shared.Config)
	require.NoError(t, err)
	says, err := server.ServerVersion()
	require.NoError(t, err)
	is, err := utilversion.ParseSemantic(says.GitVersion)
	require.NoError(t, err, "make assets builds one that knows its version")
	assert.True(t, is.AtLeast(utilversion.MustParseSemantic("v1.30.0")), says.GitVersion)
	assert.Equal(t, fmt.Sprintf("%d.%d", is.Major(), is.Minor()), says.Major+"."+says.Minor)
}
