package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// mirror is a session of egressctl that follows a cluster.
type mirror struct {
	admin  client.WithWatch
	live   dynamic.Interface
	events sync.Mutex
	// objects are what the cluster holds, changed those of which the session has not heard.
	objects map[string]*unstructured.Unstructured
	changed map[string]*unstructured.Unstructured
	// watching ends the watch of a kind.
	watching map[string]context.CancelFunc

	asking    sync.Mutex
	session   *dryrun.Session
	standards map[string]*policy.Engine
}

// always are resources that every cluster has, among those by which objects are decided on; the others come and go with their CRDs.
var always = []schema.GroupVersionResource{
	{Version: "v1", Resource: "namespaces"}, {Version: "v1", Resource: "services"}, {Version: "v1", Resource: "serviceaccounts"},
	{Version: "v1", Resource: "pods"}, {Version: "v1", Resource: "configmaps"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
}

// coming are those of CRDs, which come and go.
var coming = []schema.GroupVersionResource{
	{Group: "egress-governor.io", Version: "v1alpha1", Resource: "egresspolicies"},
	{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}, {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}, {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	{Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}, {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
}

// comes returns the resource of a definition, false for one by which nothing is decided.
func comes(definition *unstructured.Unstructured) (out schema.GroupVersionResource, is bool) {
	for _, each := range coming {
		if apiserver.Defines(definition) && definition.GetName() == each.Resource+"."+each.Group {
			return each, true
		}
	}
	return out, false
}

// rightsOf are the rights of a cluster.
type rightsOf struct{ client.Client }

// Authorize implements apiserver.Rights.
func (r rightsOf) Authorize(ctx context.Context, of authorizer.Attributes) (authorizer.Decision, string, error) {
	asked := apiserver.AccessReview(of)
	if err := r.Create(ctx, asked); err != nil || !asked.Status.Allowed {
		return authorizer.DecisionNoOpinion, "", err
	}
	return authorizer.DecisionAllow, "", nil
}

func newMirror(ctx context.Context, config *rest.Config) (*mirror, error) {
	out := &mirror{objects: map[string]*unstructured.Unstructured{}, changed: map[string]*unstructured.Unstructured{}, watching: map[string]context.CancelFunc{}, standards: map[string]*policy.Engine{}}
	var err error
	if out.live, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if out.admin, err = client.NewWithWatch(config, client.Options{}); err != nil {
		return nil, err
	}
	var started []cache.InformerSynced
	for _, resource := range always {
		started = append(started, out.watch(ctx, resource))
	}
	if !cache.WaitForCacheSync(ctx.Done(), started...) {
		return nil, errors.New("the cluster is not followed")
	}
	return out, nil
}

func nameOf(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().GroupKind().String() + " " + object.GetNamespace() + "/" + object.GetName()
}

// watch follows a resource.
func (m *mirror) watch(ctx context.Context, resource schema.GroupVersionResource) cache.InformerSynced {
	informer := dynamicinformer.NewFilteredDynamicInformer(m.live, resource, "", 0, cache.Indexers{}, nil).Informer()
	handle := func(is bool) func(any) {
		return func(of any) {
			if tombstone, gone := of.(cache.DeletedFinalStateUnknown); gone {
				of = tombstone.Obj
			}
			if object, known := of.(*unstructured.Unstructured); known && ctx.Err() == nil {
				m.happened(ctx, object, is)
			}
		}
	}
	put, gone := handle(true), handle(false)
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: put, UpdateFunc: func(_, now any) { put(now) }, DeleteFunc: gone})
	go informer.RunWithContext(ctx)
	return informer.HasSynced
}

func (m *mirror) happened(ctx context.Context, object *unstructured.Unstructured, is bool) {
	m.events.Lock()
	defer m.events.Unlock()
	name := nameOf(object)
	before := m.objects[name]
	if _, told := m.changed[name]; !told {
		m.changed[name] = before
	}
	if is {
		m.objects[name] = object
	} else {
		delete(m.objects, name)
	}
	resource, known := comes(object)
	if !known {
		return
	}
	if end := m.watching[object.GetName()]; end != nil && !is {
		end()
		delete(m.watching, object.GetName())
		for name, of := range m.objects {
			if of.GroupVersionKind().Group == resource.Group && strings.EqualFold(of.GetKind()+"s", resource.Resource) { // those that go are HTTPRoutes and GRPCRoutes
				m.changed[name] = of
				delete(m.objects, name)
			}
		}
	} else if end == nil && is && controlplane.ConditionOf(object, "Established", "status") == "True" {
		of, end := context.WithCancel(ctx)
		m.watching[object.GetName()] = end
		m.watch(of, resource)
	}
}

// follow has the session hear of what changed. The caller holds asking.
func (m *mirror) follow() error {
	m.events.Lock()
	changed := m.changed
	m.changed = map[string]*unstructured.Unstructured{}
	now := map[string]*unstructured.Unstructured{}
	again := m.session == nil
	for name, before := range changed {
		now[name] = m.objects[name]
		again = again || m.configures(before, now[name])
	}
	if again {
		for name, object := range m.objects {
			now[name] = object
		}
	}
	m.events.Unlock()
	if again {
		var err error
		m.session, err = m.build(now, "")
		return err
	}
	for name, before := range changed {
		if err := put(m.session, before, now[name]); err != nil {
			return err
		}
	}
	return nil
}

// configures says whether what is decided by is another because of a change.
func (m *mirror) configures(before, now *unstructured.Unstructured) bool {
	of := cmp.Or(now, before)
	if of == nil {
		return false
	}
	isConfig := of.GetKind() == "ConfigMap" && (of.GetNamespace() == controlplane.Namespace && of.GetName() == controlplane.Release || of.GetName() == "istio")
	return (isConfig || apiserver.Guards(of)) && !sameSaid(before, now)
}

// sameSaid says whether an object says the same in two versions.
func sameSaid(before, now *unstructured.Unstructured) bool {
	if before == nil || now == nil || now.GetGeneration() == 0 {
		return before != nil && now != nil && fmt.Sprint(before.Object["data"]) == fmt.Sprint(now.Object["data"])
	}
	return before.GetUID() == now.GetUID() && before.GetGeneration() == now.GetGeneration()
}

// put has a session hold an object in the place of another.
func put(session *dryrun.Session, before, now *unstructured.Unstructured) error {
	switch {
	case now == nil && before == nil:
		return nil
	case now == nil:
		session.Delete(before)
		return nil
	case (apiserver.Defines(now) || now.GetKind() == "EgressPolicy") && before != nil && sameSaid(before, now):
		return nil // a status is nothing to decide by
	}
	return session.Store(manifest.Object{Unstructured: now, File: "cluster"})
}

// build returns a session that holds objects, with the guards among them or one of these alone.
func (m *mirror) build(objects map[string]*unstructured.Unstructured, guard string) (*dryrun.Session, error) {
	named := func(namespace, name string) *unstructured.Unstructured {
		return objects["ConfigMap "+namespace+"/"+name]
	}
	installed := named(controlplane.Namespace, controlplane.Release)
	if installed == nil {
		return nil, errors.New("nothing is installed")
	}
	text, _, _ := unstructured.NestedString(installed.Object, "data", "config.yaml")
	configuration, err := config.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	if m.standards[text] == nil {
		if m.standards[text], err = dryrun.Standards(configuration); err != nil {
			return nil, err
		}
	}
	options := dryrun.Options{Configuration: configuration, Standards: m.standards[text], Sending: dryrun.Sending{Time: time.Now()}, Release: controlplane.Namespace, Server: apiserver.New()}
	if mesh := named(configuration.MeshConfig.Namespace, configuration.MeshConfig.Name); mesh != nil {
		text, _, _ := unstructured.NestedString(mesh.Object, "data", "mesh")
		if options.DNSCapture, err = controller.CapturesDNS(text); err != nil {
			return nil, err
		}
	}
	options.Server.SetRights(rightsOf{m.admin})
	for _, object := range objects {
		if object != nil && apiserver.Guards(object) && (guard == "" || object.GetName() == guard) {
			if err := options.Server.Put(object); err != nil {
				return nil, err
			}
		}
	}
	out, err := dryrun.New(options)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object != nil && !apiserver.Guards(object) {
			if err := put(out, nil, object); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
