package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// input is the part of the input of policies that an explanation tells in sentences.
type input struct {
	Operation string
	Namespace struct {
		Name   string
		Labels map[string]string
	}
	User   struct{ Name string }
	Egress struct {
		Gateway    string
		Internal   bool
		AllClients bool
		Clients    []struct {
			Namespace       string
			ServiceAccounts []string
		}
		Hosts []struct {
			Host, Field              string
			Owner                    *owner
			InMesh, Leaves, Endpoint bool
		}
		Routes []struct {
			Host, Protocol, From, Via, Gateway, Field string
			Port                                      int
		}
		Conflicts []struct {
			Host, Reason, Field string
			Owner               owner
		}
		OnGateways, OnGatewaysForOthers []string
	}
}

// owner is the oldest entry that names a host.
type owner struct{ Namespace, Name string }

func (o owner) String() string { return "ServiceEntry " + o.Namespace + "/" + o.Name }

// facts says what policies saw of an object, a line each.
func facts(of map[string]any) []string {
	raw, err := json.Marshal(of)
	var in input
	if err == nil {
		err = json.Unmarshal(raw, &in)
	}
	if err != nil {
		return []string{err.Error()}
	}
	labels := make([]string, 0, len(in.Namespace.Labels))
	for _, key := range slices.Sorted(maps.Keys(in.Namespace.Labels)) {
		labels = append(labels, key+"="+in.Namespace.Labels[key])
	}
	out := []string{fmt.Sprintf("%s in namespace %s (%s)", in.Operation, in.Namespace.Name, strings.Join(labels, ", "))}
	if in.User.Name != "" {
		out = append(out, "user "+in.User.Name)
	}
	if in.Egress.Gateway != "" {
		out = append(out, "egress gateway "+in.Egress.Gateway)
	}
	if in.Egress.Internal {
		out = append(out, "an entry of the mesh's own")
	}
	out = append(out, in.clients()...)
	for _, host := range in.Egress.Hosts {
		owned := ""
		if host.Owner != nil {
			owned = "belongs to " + host.Owner.String()
		}
		out = append(out, fmt.Sprintf("host %s (%s)%s", host.Host, host.Field, notes(
			note{host.Leaves, "leaves the mesh"}, note{host.InMesh, "is in the mesh"}, note{host.Endpoint, "is an endpoint"}, note{owned != "", owned})))
	}
	for _, route := range in.Egress.Routes {
		out = append(out, fmt.Sprintf("route to %s:%d %s (%s): from %s, via %s", route.Host, route.Port, route.Protocol, route.Field, route.From,
			strings.TrimSpace(route.Via+" "+route.Gateway)))
	}
	for _, conflict := range in.Egress.Conflicts {
		out = append(out, fmt.Sprintf("conflict over host %s (%s) with %s: %s", conflict.Host, conflict.Field, conflict.Owner, conflict.Reason))
	}
	for _, field := range in.Egress.OnGateways {
		others := slices.Contains(in.Egress.OnGatewaysForOthers, field)
		out = append(out, "on an egress gateway by "+field+notes(note{others, "for others, too"}))
	}
	return out
}

func (in input) clients() (out []string) {
	if in.Egress.AllClients {
		return []string{"clients: every governed namespace"}
	}
	for _, client := range in.Egress.Clients {
		line := "client " + client.Namespace
		if len(client.ServiceAccounts) > 0 {
			line += " as " + strings.Join(client.ServiceAccounts, ", ")
		}
		out = append(out, line)
	}
	return out
}

// note is something that may be said.
type note struct {
	is   bool
	text string
}

func notes(of ...note) (out string) {
	for _, each := range of {
		if each.is {
			out += ", " + each.text
		}
	}
	return out
}
