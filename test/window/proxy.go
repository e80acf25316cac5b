package window

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// Node is a proxy as istiod knows it.
type Node struct {
	// Kind is sidecar or router.
	Kind, Pod, Namespace, IP string
	Labels                   map[string]string
}

func (n Node) String() string { return n.Pod + "." + n.Namespace }

func (n Node) proto() (*core.Node, error) {
	labels := map[string]any{}
	for key, value := range n.Labels {
		labels[key] = value
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": n.Namespace, "NAME": n.Pod, "INSTANCE_IPS": n.IP, "LABELS": labels, "CLUSTER_ID": "Kubernetes",
		"SERVICE_ACCOUNT": "default", "ISTIO_VERSION": "1.31.0", "MESH_ID": "cluster.local",
	})
	return &core.Node{
		Id:       fmt.Sprintf("%s~%s~%s~%s.svc.cluster.local", n.Kind, n.IP, n, n.Namespace),
		Metadata: metadata, Locality: &core.Locality{},
	}, err
}

// Proxy is one that is connected to istiod, and goes by what it is told as Envoy does: it asks for the endpoints of its
// clusters and the routes of its listeners, and takes every push.
type Proxy struct {
	Node Node
	// judge is asked about the state after every push.
	judge func(*State) []string

	mu      sync.Mutex
	state   *State
	pushes  int
	found   []Finding
	waiting []*waiter

	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	stop   context.CancelFunc
	done   chan error
	// last is the last request of each kind.
	last map[string]*discovery.DiscoveryRequest
}

// Finding is what a judge found in a state.
type Finding struct {
	At time.Time
	// Push is the kind and the version of the push after which it was so.
	Push string
	What []string
}

type waiter struct {
	holds func(*State) bool
	since chan time.Time
}

// Connect connects a proxy over ADS.
func Connect(ctx context.Context, conn grpc.ClientConnInterface, node Node, judge func(*State) []string) (*Proxy, error) {
	ctx, stop := context.WithCancel(ctx)
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	out := &Proxy{
		Node: node, judge: judge, state: NewState(), stream: stream, stop: stop, done: make(chan error, 1),
		last: map[string]*discovery.DiscoveryRequest{},
	}
	of, err := node.proto()
	if err == nil {
		out.last[clusterType] = &discovery.DiscoveryRequest{Node: of, TypeUrl: clusterType}
		err = stream.Send(out.last[clusterType])
	}
	if err != nil {
		stop()
		return nil, err
	}
	go func() { out.done <- out.run() }()
	return out, nil
}

// Close ends the connection. The error is what ended it before.
func (p *Proxy) Close() error {
	p.stop()
	err := <-p.done
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return fmt.Errorf("%s: %w", p.Node, err)
}

func (p *Proxy) run() error {
	for {
		push, err := p.stream.Recv()
		if err != nil {
			return err
		}
		at := time.Now()
		if err := p.take(push, at); err != nil {
			return err
		}
		if err := p.answer(push); err != nil {
			return err
		}
	}
}

// take goes by a push and judges the state that it makes.
func (p *Proxy) take(push *discovery.DiscoveryResponse, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.state.Apply(push); err != nil {
		return err
	}
	p.pushes++
	if what := p.judge(p.state); len(what) > 0 {
		p.found = append(p.found, Finding{At: at, Push: push.TypeUrl + " " + push.VersionInfo, What: what})
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		if !w.holds(p.state) {
			return false
		}
		w.since <- at
		return true
	})
	return nil
}

// answer takes a push as Envoy does, and asks for what it made necessary.
func (p *Proxy) answer(push *discovery.DiscoveryResponse) error {
	p.mu.Lock()
	endpoints, routes := p.state.wanted()
	p.mu.Unlock()
	request := &discovery.DiscoveryRequest{TypeUrl: push.TypeUrl, VersionInfo: push.VersionInfo, ResponseNonce: push.Nonce}
	switch push.TypeUrl {
	case endpointType:
		request.ResourceNames = endpoints
	case routeType:
		request.ResourceNames = routes
	}
	if err := p.send(request); err != nil {
		return err
	}
	switch push.TypeUrl {
	case clusterType:
		if err := p.subscribe(endpointType, endpoints); err != nil {
			return err
		}
		if p.last[listenerType] == nil {
			return p.send(&discovery.DiscoveryRequest{TypeUrl: listenerType})
		}
	case listenerType:
		return p.subscribe(routeType, routes)
	}
	return nil
}

// subscribe asks for other names than before.
func (p *Proxy) subscribe(kind string, names []string) error {
	last := p.last[kind]
	if slices.Equal(last.GetResourceNames(), names) {
		return nil
	}
	return p.send(&discovery.DiscoveryRequest{
		TypeUrl: kind, ResourceNames: names, VersionInfo: last.GetVersionInfo(), ResponseNonce: last.GetResponseNonce(),
	})
}

func (p *Proxy) send(request *discovery.DiscoveryRequest) error {
	p.last[request.TypeUrl] = request
	return p.stream.Send(request)
}

// Until returns when a state holds for the first time from now on, which it may already.
func (p *Proxy) Until(holds func(*State) bool) <-chan time.Time {
	out := &waiter{holds, make(chan time.Time, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if holds(p.state) {
		out.since <- time.Now()
	} else {
		p.waiting = append(p.waiting, out)
	}
	return out.since
}

// With looks at the state as it is.
func (p *Proxy) With(look func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	look(p.state)
}

// Found returns what was found so far, and how many pushes were judged.
func (p *Proxy) Found() (found []Finding, pushes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.found), p.pushes
}
