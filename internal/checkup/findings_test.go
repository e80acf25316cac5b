package checkup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/emergency"
)

// broken are clusters by the one thing that is wrong in each, as check, severity and code.
var broken = map[string]func(t *testing.T, s *Snapshot){
	"configuration error configuration-unknown": func(_ *testing.T, s *Snapshot) { s.Configuration, s.Mesh, s.Unconfigured = nil, nil, "none" },

	"versions error kubernetes-unsupported":      func(_ *testing.T, s *Snapshot) { s.Version = "v1.29.3" },
	"versions warning kubernetes-without-guards": func(_ *testing.T, s *Snapshot) { s.Version = "v1.30.3+vendor" },
	"versions error istio-unsupported": func(t *testing.T, s *Snapshot) {
		set(t, s, pods, "istiod-1", []any{map[string]any{"name": "discovery", "image": "registry.example.com:5000/istio/pilot:1.21.0@sha256:" + "1"}}, "spec", "containers")
	},

	"kinds error kind-missing":         func(t *testing.T, s *Snapshot) { drop(t, s, definitions, "sidecars.networking.istio.io") },
	"kinds error kind-version-missing": func(t *testing.T, s *Snapshot) { versioned(t, s, "v1", false, "v1") },
	"kinds error kind-stored-version":  func(t *testing.T, s *Snapshot) { versioned(t, s, "v1", true, "v1alpha1") },

	"release error release-missing": func(t *testing.T, s *Snapshot) { drop(t, s, deployments, "governor") },
	"release error release-not-ready": func(t *testing.T, s *Snapshot) {
		set(t, s, deployments, "governor", int64(0), "status", "readyReplicas")
	},
	"release warning release-not-ready": func(t *testing.T, s *Snapshot) {
		set(t, s, deployments, "governor", int64(1), "status", "readyReplicas")
	},
	"release warning release-single-replica": func(t *testing.T, s *Snapshot) {
		set(t, s, deployments, "governor", int64(1), "spec", "replicas")
		set(t, s, deployments, "governor", int64(1), "status", "readyReplicas")
	},
	"release error release-crashes": func(t *testing.T, s *Snapshot) {
		set(t, s, pods, "governor-1", []any{map[string]any{"name": "webhook", "restartCount": int64(4), "state": map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}}}, "status", "containerStatuses")
	},
	"release error release-versions-differ": func(t *testing.T, s *Snapshot) {
		other := s.Objects[pods][0].DeepCopy()
		s.Objects[pods] = append(s.Objects[pods], other)
		require.NoError(t, unstructured.SetNestedSlice(other.Object, []any{map[string]any{"name": "webhook", "image": "governor:old"}}, "spec", "containers"))
	},
	"release warning release-versions-differ": func(t *testing.T, s *Snapshot) {
		other := s.Objects[pods][0].DeepCopy()
		s.Objects[pods] = append(s.Objects[pods], other)
		require.NoError(t, unstructured.SetNestedSlice(other.Object, []any{map[string]any{"name": "webhook", "imageID": "sha256:2"}}, "status", "containerStatuses"))
	},
	"release error release-without-leader": func(t *testing.T, s *Snapshot) {
		set(t, s, leases, "egress-governor", "2026-11-27T11:58:00.000000Z", "spec", "renewTime")
	},

	"webhooks error webhook-missing": func(t *testing.T, s *Snapshot) { drop(t, s, validating, "governor") },
	"webhooks error webhook-ignores-failure": func(_ *testing.T, s *Snapshot) {
		eachWebhook(s.Objects[mutating][0], func(webhook map[string]any) { webhook["failurePolicy"] = "Ignore" })
	},
	"webhooks error webhook-narrowed": func(_ *testing.T, s *Snapshot) {
		eachWebhook(s.Objects[mutating][0], func(webhook map[string]any) {
			webhook["matchConditions"] = []any{map[string]any{"name": "theirs", "expression": "false"}}
		})
	},
	"webhooks error admission-stopped": func(_ *testing.T, s *Snapshot) {
		emergency.Stop(s.Objects[validating][0], emergency.Note{Since: "since today"})
	},

	"endpoints error webhook-service-missing": func(t *testing.T, s *Snapshot) { drop(t, s, services, "governor-webhook") },
	"endpoints error webhook-service-port": func(t *testing.T, s *Snapshot) {
		set(t, s, services, "governor-webhook", []any{map[string]any{"port": int64(8443)}}, "spec", "ports")
	},
	"endpoints error webhook-without-endpoints": func(t *testing.T, s *Snapshot) {
		set(t, s, slicesOf, "a", []any{map[string]any{"addresses": []any{"10.0.0.1"}, "conditions": map[string]any{"ready": false}}}, "endpoints")
	},

	"certificate error certificate-missing": func(t *testing.T, s *Snapshot) { drop(t, s, secrets, "governor-cert") },
	"certificate error certificate-expired": func(t *testing.T, s *Snapshot) {
		certified(t, s, noon.Add(-time.Hour), "governor-webhook.platform.svc")
	},
	"certificate error certificate-expires": func(t *testing.T, s *Snapshot) {
		certified(t, s, noon.AddDate(0, 0, 3), "governor-webhook.platform.svc")
	},
	"certificate error certificate-untrusted": func(t *testing.T, s *Snapshot) { certified(t, s, noon.AddDate(1, 0, 0), "another.platform.svc") },

	"admission error webhook-unreachable": func(_ *testing.T, s *Snapshot) {
		s.Answers[0].Err = errors.New(`Internal error occurred: failed calling webhook "policy.egress-governor.io": connection refused`)
	},
	"admission error webhook-not-asked": func(_ *testing.T, s *Snapshot) { s.Answers[2].Stored = s.Answers[2].Object },
	"admission error webhook-refuses": func(_ *testing.T, s *Snapshot) {
		s.Answers[0].Err = errors.New(`admission webhook "policy.egress-governor.io" denied the request: no`)
	},

	"guards error guard-missing": func(t *testing.T, s *Snapshot) { drop(t, s, guards, "governor-entries") },
	"guards error guard-unbound": func(t *testing.T, s *Snapshot) {
		s.Version = "v0.0.0-master"
		drop(t, s, bindings, "governor-entries")
	},
	"guards error guard-ignores-failure": func(t *testing.T, s *Snapshot) {
		set(t, s, guards, "governor-entries", "Ignore", "spec", "failurePolicy")
	},
	"guards error guard-narrowed": func(t *testing.T, s *Snapshot) {
		set(t, s, guards, "governor-entries", []any{map[string]any{"name": "theirs", "expression": "false"}}, "spec", "matchConditions")
	},
	"guards error guard-narrowed by its binding": func(t *testing.T, s *Snapshot) {
		set(t, s, bindings, "governor-entries", map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"a": "b"}}}, "spec", "matchResources")
	},
	"guards warning guard-does-not-deny": func(t *testing.T, s *Snapshot) {
		set(t, s, bindings, "governor-entries", []any{"Audit"}, "spec", "validationActions")
	},

	"gateways error gateway-without-endpoints": func(t *testing.T, s *Snapshot) { drop(t, s, slicesOf, "b") },
	"gateways error gateway-without-pods":      preflight("gateway-without-pods", "default"),
	"gateways warning exits-visible":           preflight("exits-visible", "default"),
	"gateways warning default-export":          preflight("default-export", "default"),
	"gateways warning default-rule-export":     preflight("default-rule-export", "default"),

	"proxies error gateway-unknown-to-istiod": func(_ *testing.T, s *Snapshot) { s.Proxies = nil },
	"proxies error gateway-stale":             func(_ *testing.T, s *Snapshot) { s.Proxies[0].ClusterSent = "a" },

	"mesh error sidecar-allow-any":          preflight("sidecar-allow-any", ""),
	"mesh error namespace-not-closed":       preflight("namespace-not-closed", ""),
	"mesh warning outbound-allow-any":       preflight("outbound-allow-any", ""),
	"mesh error mesh-configuration-missing": func(t *testing.T, s *Snapshot) { drop(t, s, configMaps, "istio") },
	"mesh error dns-capture-off":            func(_ *testing.T, s *Snapshot) { s.Configuration.DNSCapture = "On" },
	"mesh warning root-namespace-governed":  func(_ *testing.T, s *Snapshot) { s.MeshIs.RootNamespace = "payments" },
	"mesh warning ambient-without-waypoint": func(t *testing.T, s *Snapshot) {
		set(t, s, namespaces, "payments", "ambient", "metadata", "labels", "istio.io/dataplane-mode")
	},

	"exits error exit-not-ready":   func(t *testing.T, s *Snapshot) { unready(t, s, "ExitFailed", "2026-11-27T11:54:00Z") },
	"exits warning exit-not-ready": func(t *testing.T, s *Snapshot) { unready(t, s, "ExitFailed", "2026-11-27T11:59:00Z") },
	"exits warning export-to-nobody": func(t *testing.T, s *Snapshot) {
		for _, entry := range s.Objects[entries] {
			require.NoError(t, unstructured.SetNestedSlice(entry.Object, []any{".", "paymnts"}, "spec", "exportTo"))
		}
	},
	"suspended error entry-suspended": func(t *testing.T, s *Snapshot) { unready(t, s, "Suspended", "2026-11-27T11:00:00Z") },

	"ungoverned error unsealed-entry":   func(_ *testing.T, s *Snapshot) { s.Unsealed = []string{"payments/before"} },
	"ungoverned error ungoverned-entry": func(_ *testing.T, s *Snapshot) { s.Ungoverned = []string{"free/all"} },

	"namespaces warning namespace-observed": func(t *testing.T, s *Snapshot) {
		s.Mesh.Observed, s.Mesh.Governed = s.Mesh.Governed, noneOf(t)
	},
	"namespaces warning namespace-label-unread": func(t *testing.T, s *Snapshot) {
		set(t, s, namespaces, "payments", "enforce", "metadata", "labels", "egress-governor.io/mode")
	},
	"namespaces warning namespace-exempt-pods": func(t *testing.T, s *Snapshot) {
		set(t, s, namespaces, "payments", "true", "metadata", "labels", "egress-governor.io/exempt-pods")
	},
	"namespaces warning namespace-without-injection": func(t *testing.T, s *Snapshot) {
		set(t, s, namespaces, "payments", "disabled", "metadata", "labels", "istio-injection")
	},
	"namespaces warning namespace-exempt": func(t *testing.T, s *Snapshot) {
		governed, err := labels.Parse("egress-governor.io/exempt!=true")
		require.NoError(t, err)
		s.Mesh.Governed = governed
		set(t, s, namespaces, "payments", "true", "metadata", "labels", "egress-governor.io/exempt")
	},

	"sidecars error pod-without-sidecar": func(t *testing.T, s *Snapshot) {
		set(t, s, pods, "till-1", []any{}, "spec", "initContainers")
	},
	"sidecars warning namespace-without-sidecars": func(t *testing.T, s *Snapshot) {
		set(t, s, namespaces, "payments", "disabled", "metadata", "labels", "istio-injection")
		set(t, s, pods, "till-1", true, "spec", "hostNetwork")
	},

	"policies error policy-unseen": func(t *testing.T, s *Snapshot) {
		set(t, s, policies, "hosts", int64(2), "metadata", "generation")
	},
	"policies error policy-not-ready":  func(t *testing.T, s *Snapshot) { conditioned(t, s, "Ready", "False") },
	"policies warning suspension-held": func(t *testing.T, s *Snapshot) { conditioned(t, s, "SuspendHeld", "True") },
	"policies error policy-fails":      func(t *testing.T, s *Snapshot) { conditioned(t, s, "Failing", "True") },
	"policies warning policy-selects-nothing": func(t *testing.T, s *Snapshot) {
		set(t, s, policies, "hosts", []any{"payment"}, "spec", "match", "namespaces")
	},
	"policies warning policy-names-nobody": func(t *testing.T, s *Snapshot) {
		set(t, s, policies, "hosts", []any{"nope"}, "spec", "match", "exclude")
	},
	"policies warning policy-unmeant": func(t *testing.T, s *Snapshot) {
		set(t, s, policies, "hosts", []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "InForce", "message": "the policy is in force; beware: spec.match.kinds[0]: it is not for Sidecar",
		}}, "status", "conditions")
	},
	"policies warning policy-does-not-deny": func(t *testing.T, s *Snapshot) {
		set(t, s, policies, "hosts", "Warn", "spec", "enforcement")
	},

	"rules error root-rule-passthrough": preflight("root-rule-passthrough", ""),
	"rules warning root-envoy-filter": func(t *testing.T, s *Snapshot) {
		put(t, s, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": map[string]any{"namespace": "istio-system", "name": "theirs"},
		}})
	},

	"rights warning admission-writable":    granted("", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch"),
	"rights warning policies-writable":     granted("", "egress-governor.io", "egresspolicies", "*"),
	"rights warning exits-writable":        granted("istio-system", "networking.istio.io", "serviceentries", "create"),
	"rights warning gateway-pods-writable": granted("istio-system", "", "pods/exec", "create"),
	"rights warning release-writable":      granted("platform", "", "secrets", "update"),
	"rights warning root-filters-writable": granted("istio-system", "networking.istio.io", "sidecars", "create"),
	"rights warning guards-avoidable":      granted("", "", "groups", "impersonate"),
	"rights warning rights-grantable":      granted("", "rbac.authorization.k8s.io", "clusterroles", "escalate"),
	"rights warning labels-writable":       granted("", "", "namespaces", "patch"),
}

// TestEveryFindingIsFound where it is wrong, with a reason and a fix; that it is found nowhere else says the sound cluster.
func TestEveryFindingIsFound(t *testing.T) {
	t.Parallel()
	for name, change := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, _, _ := strings.Cut(name, " by ")
			s := sound(t)
			change(t, s)
			found := Run(s, nil)
			assert.Contains(t, codes(found), want)
			for _, check := range found.Checks {
				for _, finding := range check.Findings {
					assert.NotEmpty(t, finding.Message)
					assert.NotEmpty(t, finding.Fix, finding.Code)
					assert.NotEmpty(t, finding.Why, finding.Code)
				}
			}
		})
	}
}

// TestWhatPreflightTellsIsFound: every code that it may tell of is found by some check. One that is in no list would count as sound.
func TestWhatPreflightTellsIsFound(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("../controller/*.go")
	require.NoError(t, err)
	told := map[string]bool{}
	for _, source := range append(sources, "../egress/gateway.go", "../registry/bindings.go", "../emergency/finding.go") {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`(?:Code: +|finding\()"([a-z-]+)"`).FindAllStringSubmatch(string(raw), -1) {
			told[match[1]] = true
		}
	}
	require.Greater(t, len(told), 20)
	for code := range told {
		s := sound(t)
		preflight(code, "default")(t, s)
		// Some of it check reads by itself.
		found := slices.AppendSeq(codes(Run(s, nil)), maps.Keys(broken))
		assert.True(t, slices.ContainsFunc(found, func(name string) bool { return strings.HasSuffix(name, " "+code) }), "no check takes over %s", code)
	}
}

func versioned(t *testing.T, s *Snapshot, version string, served bool, stored string) {
	t.Helper()
	const name = "serviceentries.networking.istio.io"
	set(t, s, definitions, name, []any{map[string]any{"name": version, "served": served}}, "spec", "versions")
	set(t, s, definitions, name, []any{stored}, "status", "storedVersions")
}

func preflight(code, gateway string) func(*testing.T, *Snapshot) {
	return func(_ *testing.T, s *Snapshot) {
		s.Problems = []Problem{{egress.Finding{Code: code, Message: "it is wrong: calls leave", Fix: "mend it"}, gateway}}
	}
}

func unready(t *testing.T, s *Snapshot, reason, since string) {
	t.Helper()
	set(t, s, entries, "stripe", []any{map[string]any{"type": "ExitReady", "status": "False", "reason": reason, "message": "no", "lastTransitionTime": since}}, "status", "conditions")
}

// TestAnExitOfBeforeIsNotReady: the entry was written again since it was told that the exit stands.
func TestAnExitOfBeforeIsNotReady(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{"2026-11-27T11:54:00Z": "exits error exit-not-ready", "2026-11-27T11:59:00Z": "exits warning exit-not-ready"} {
		s := sound(t)
		set(t, s, entries, "stripe", []any{map[string]any{
			"type": "ExitReady", "status": "True", "reason": "ExitConfigured", "message": "yes", "lastTransitionTime": "2026-11-01T00:00:00Z", "observedGeneration": int64(3),
		}}, "status", "conditions")
		set(t, s, entries, "stripe", int64(3), "metadata", "generation")
		assert.NotContains(t, codes(Run(s, nil)), want)
		set(t, s, entries, "stripe", int64(4), "metadata", "generation")
		set(t, s, entries, "stripe", []any{map[string]any{"manager": "kubectl", "operation": "Apply", "time": at}, map[string]any{"manager": "istiod", "subresource": "status", "time": "2026-11-27T11:59:59Z"}}, "metadata", "managedFields")
		assert.Contains(t, codes(Run(s, nil)), want)
	}
}

// TestExitsAreLookedAtWithoutNamespaces, which not everybody may list.
func TestExitsAreLookedAtWithoutNamespaces(t *testing.T) {
	t.Parallel()
	s := sound(t)
	unready(t, s, "ExitFailed", "2026-11-27T11:54:00Z")
	s.Unread[namespaces], s.Objects[namespaces] = errors.New("namespaces: forbidden"), nil
	found := Run(s, nil)
	assert.Contains(t, codes(found), "exits error exit-not-ready")
	assert.Contains(t, found.Checks[slices.Index(Names(), "exits")].NotLookedAt, "namespaces: forbidden")
}

func conditioned(t *testing.T, s *Snapshot, kind, status string) {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(s.Objects[policies][0].Object, "status", "conditions")
	require.NoError(t, err)
	set(t, s, policies, "hosts", append([]any{map[string]any{"type": kind, "status": status, "reason": "Because", "message": "no", "lastTransitionTime": "2026-11-27T11:00:00Z", "observedGeneration": int64(1)}}, conditions...), "status", "conditions")
}

// granted gives a group of tenants a right, in a namespace or in the whole cluster.
func granted(namespace, group, resource, verb string) func(*testing.T, *Snapshot) {
	return func(t *testing.T, s *Snapshot) {
		t.Helper()
		put(t, s, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "theirs"},
			"rules": []any{map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": []any{verb}}},
		}})
		kind := "ClusterRoleBinding"
		if namespace != "" {
			kind = "RoleBinding"
		}
		binding := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": map[string]any{"name": "theirs"},
			"roleRef": map[string]any{"kind": "ClusterRole", "name": "theirs"}, "subjects": []any{map[string]any{"kind": "Group", "name": "tenants"}},
		}}
		binding.SetNamespace(namespace)
		put(t, s, binding)
	}
}

// TestRightsOfTheClusterItselfAreNone: those of administrators, Kubernetes, Istio and the webhook; by name to other objects; elsewhere.
func TestRightsOfTheClusterItselfAreNone(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]map[string]any{
		"masters": {"kind": "Group", "name": "system:masters"}, "kubernetes": {"kind": "User", "name": "system:kube-controller-manager"},
		"istiod": {"kind": "ServiceAccount", "name": "istiod", "namespace": "istio-system"}, "an administrator": {"kind": "User", "name": "root"},
		"ours": {"kind": "ServiceAccount", "name": "governor", "namespace": "platform"},
	} {
		s := sound(t)
		granted("", "*", "*", "*")(t, s)
		set(t, s, clusterRoleBindings, "theirs", []any{subject}, "subjects")
		assert.Empty(t, codes(Run(s, nil)), name)
	}
	s := sound(t)
	granted("", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch")(t, s)
	set(t, s, clusterRoles, "theirs", []any{map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}, "resourceNames": []any{"another"}}}, "rules")
	assert.Empty(t, codes(Run(s, nil)), "another's")
	s = sound(t)
	granted("payments", "*", "*", "*")(t, s)
	assert.Empty(t, codes(Run(s, nil)), "in his own namespace")

	s = sound(t)
	granted("", "*", "*", "*")(t, s)
	set(t, s, clusterRoleBindings, "theirs", []any{map[string]any{"kind": "Group", "name": "system:authenticated"}}, "subjects")
	assert.Contains(t, codes(Run(s, nil)), "rights error admission-writable", "everybody's")
}

// TestAnswersThatTellNothing are said to: for want of a right, or for something else's sake.
func TestAnswersThatTellNothing(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no right": apierrors.NewForbidden(schema.GroupResource{Resource: "serviceentries"}, "x", errors.New(`User "jane" cannot create resource "serviceentries"`)),
		"a quota":  errors.New("exceeded quota: entries"),
	} {
		s := sound(t)
		s.Answers[2].Err = err
		result := checks[indexOf("admission")].of(s)
		assert.Equal(t, Unknown, result.Status, name)
		assert.Contains(t, result.NotLookedAt, err.Error())
	}
	s := sound(t)
	s.Answers[2].Err = errors.New(`admission webhook "validate.egress-governor.io" denied the request: a policy`)
	assert.Equal(t, Sound, checks[indexOf("admission")].of(s).Status, "it was judged")
	s.Answers[3].Err = errors.New(`ValidatingAdmissionPolicy 'egress-governor-entries' denied request: no`)
	assert.Equal(t, Wrong, checks[indexOf("admission")].of(s).Status, "a guard alone has answered")
	s = sound(t)
	s.Answers = s.Answers[:2]
	assert.Equal(t, Unknown, checks[indexOf("admission")].of(s).Status, "nobody was asked about entries")
	drop(t, s, namespaces, "payments")
	assert.Equal(t, Sound, checks[indexOf("admission")].of(s).Status, "no namespace is governed")
	s.Unread[namespaces] = errors.New("forbidden")
	assert.Equal(t, Unknown, checks[indexOf("admission")].of(s).Status)
}

func indexOf(name string) int {
	for i, check := range checks {
		if check.name == name {
			return i
		}
	}
	panic(fmt.Sprintf("no check %s", name))
}

// TestAProxyIsStaleByWhatIstiodSaysOfIt, in each of its forms.
func TestAProxyIsStaleByWhatIstiodSaysOfIt(t *testing.T) {
	t.Parallel()
	of := func(kind, sent, acked, bad string, ago time.Duration) Proxy {
		out := Proxy{}
		out.Resources = map[string]sync{kind: {Sent: sent, Acked: acked, LastError: bad, SentTime: noon.Add(-ago)}}
		return out
	}
	const clusters = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	assert.Empty(t, of(clusters, "a", "a", "", time.Hour).stale(noon))
	assert.Empty(t, of(clusters, "b", "a", "", time.Second).stale(noon), "it may take it yet")
	assert.Empty(t, of("istio.io/debug", "b", "a", "", time.Hour).stale(noon))
	assert.Contains(t, of(clusters, "b", "a", "", time.Hour).stale(noon), "has not taken Cluster")
	assert.Contains(t, of(clusters, "b", "a", "bad filter\nmore", time.Second).stale(noon), "refuses Cluster: bad filter")
	assert.Contains(t, Proxy{RouteSent: "b", RouteAcked: "a"}.stale(noon), "routes")
}

func noneOf(t *testing.T) labels.Selector {
	t.Helper()
	out, err := labels.Parse("nobody-has")
	require.NoError(t, err)
	return out
}
