package overview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kinds of nodes.
const (
	KindNamespace = "namespace"
	KindGateway   = "gateway"
	KindHost      = "host"
)

// States of nodes and edges, the worse the later.
const (
	StateOpen      = "open"
	StateFound     = "found"
	StateNotReady  = "notReady"
	StateSuspended = "suspended"
	StateStraight  = "straight"
)

var states = []string{StateOpen, StateFound, StateNotReady, StateSuspended, StateStraight}

// everyNamespace is the name of the node that stands for all.
const everyNamespace = "every namespace"

// Graph is a picture: namespaces, the gateways that they leave by, and the hosts that these lead to.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Node is a namespace, a gateway or a host.
type Node struct {
	// ID is unique, and nobody's word.
	ID   string `json:"id"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Note is what is said of it besides.
	Note  string `json:"note,omitempty"`
	State string `json:"state"`
}

// Edge leads from a namespace to a gateway, from a gateway to a host, or from a namespace straight to a host.
type Edge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	State string `json:"state"`
}

// Graph returns the picture of all exits that a filter keeps, nil for all.
func (o *Overview) Graph(keep func(Exit) bool) *Graph {
	d := &drawing{nodes: map[string]*Node{}, edges: map[[2]string]string{}}
	for _, gw := range o.Gateways {
		state := StateOpen
		if len(gw.Problems) > 0 {
			state = StateNotReady
		}
		d.node(KindGateway, gw.Name, gw.Transport, state)
	}
	for _, exit := range o.Exits {
		if exit.Ends == InMesh || keep != nil && !keep(exit) {
			continue
		}
		state := exit.State()
		host := d.node(KindHost, exit.Host, ports(exit.Ports), state)
		from := exit.Clients
		if exit.Everybody {
			from = []string{everyNamespace}
		}
		for _, client := range from {
			namespace := d.node(KindNamespace, client, "", StateOpen)
			if exit.Ends == Straight {
				d.edge(namespace, host, state)
				continue
			}
			gateway := d.node(KindGateway, exit.Gateway, exit.Transport, StateOpen)
			d.edge(namespace, gateway, StateOpen)
			d.edge(gateway, host, state)
		}
	}
	return d.graph()
}

// State is that of an exit, in a word.
func (e Exit) State() string {
	switch {
	case e.Ends == Straight:
		return StateStraight
	case e.Suspended:
		return StateSuspended
	case e.Ready == "False":
		return StateNotReady
	case e.Findings > 0:
		return StateFound
	}
	return StateOpen
}

func ports(of []Port) (out string) {
	for i, port := range of {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%s %d", port.Protocol, port.Number)
	}
	return out
}

// drawing is a graph in the making: its nodes by kind and name.
type drawing struct {
	nodes map[string]*Node
	edges map[[2]string]string
}

func (d *drawing) node(kind, name, note, state string) *Node {
	key := kind + " " + name
	out := d.nodes[key]
	if out == nil {
		out = &Node{Kind: kind, Name: name, Note: note, State: state}
		d.nodes[key] = out
	}
	if !slices.Contains(strings.Split(out.Note, "; "), note) {
		out.Note = strings.TrimPrefix(out.Note+"; "+note, "; ")
	}
	out.State = worse(out.State, state)
	return out
}

func worse(a, b string) string {
	if slices.Index(states, b) > slices.Index(states, a) {
		return b
	}
	return a
}

func (d *drawing) edge(from, to *Node, state string) {
	key := [2]string{from.Kind + " " + from.Name, to.Kind + " " + to.Name}
	d.edges[key] = worse(d.edges[key], state)
}

// graph gives the nodes their order and their IDs.
func (d *drawing) graph() *Graph {
	out := &Graph{Nodes: []Node{}, Edges: []Edge{}}
	kinds := []string{KindNamespace, KindGateway, KindHost}
	for _, node := range d.nodes {
		out.Nodes = append(out.Nodes, *node)
	}
	slices.SortFunc(out.Nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	ids := map[string]string{}
	for i := range out.Nodes {
		out.Nodes[i].ID = fmt.Sprintf("n%d", i+1)
		ids[out.Nodes[i].Kind+" "+out.Nodes[i].Name] = out.Nodes[i].ID
	}
	for key, state := range d.edges {
		out.Edges = append(out.Edges, Edge{ids[key[0]], ids[key[1]], state})
	}
	// The shorter of two IDs has the smaller number.
	slices.SortFunc(out.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(len(a.From), len(b.From)), cmp.Compare(a.From, b.From), cmp.Compare(len(a.To), len(b.To)), cmp.Compare(a.To, b.To))
	})
	return out
}
