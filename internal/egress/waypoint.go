package egress

import (
	"cmp"
	"strings"
)

// The labels and the annotation by which ambient mode chooses the waypoint of a ServiceEntry: all of its calls go by the one, a
// share of them by the canary.
const (
	UseWaypoint                = "istio.io/use-waypoint"
	UseWaypointNamespace       = "istio.io/use-waypoint-namespace"
	UseWaypointCanary          = "istio.io/use-waypoint-canary"
	UseWaypointCanaryNamespace = "istio.io/use-waypoint-canary-namespace"
	UseWaypointCanaryWeight    = "istio.io/use-waypoint-canary-weight"
)

// NoWaypoint is the value of UseWaypoint that stands for none, and so no waypoint's name.
const NoWaypoint = "none"

// Waypoint is a waypoint proxy: a Gateway of the Kubernetes Gateway API, whose Service has its name. The zero value is none.
type Waypoint struct{ Namespace, Name string }

func (w Waypoint) String() string { return w.Namespace + "/" + w.Name }

// dataplaneMode is the label of a namespace, or of a pod, that puts it into ambient mode.
const dataplaneMode = "istio.io/dataplane-mode"

// Ambient says whether pods of a namespace with these labels are in ambient mode: all that have no sidecar.
func Ambient(namespace map[string]string) bool { return namespace[dataplaneMode] == "ambient" }

// WaypointOf returns the waypoint that entries of a namespace in ambient mode are bound to, the zero value for none.
func (g Gateway) WaypointOf(namespace string) Waypoint {
	if g.Waypoint.Name == "" {
		return Waypoint{}
	}
	return Waypoint{Namespace: cmp.Or(g.Waypoint.Namespace, namespace), Name: g.Waypoint.Name}
}

// BoundTo returns the waypoint that a ServiceEntry of a namespace is bound to by its labels, the zero value for none.
func BoundTo(labels map[string]string, namespace string) Waypoint {
	name := labels[UseWaypoint]
	if name == "" || name == NoWaypoint {
		return Waypoint{}
	}
	if other, given := labels[UseWaypointNamespace]; given {
		namespace = other
	}
	return Waypoint{Namespace: namespace, Name: name}
}

// WaypointService returns the FQDN of a waypoint's Service.
func (m *Mesh) WaypointService(waypoint Waypoint) string {
	return waypoint.Name + "." + waypoint.Namespace + ".svc." + m.ClusterDomain
}

// Unaddressed returns why ambient mode knows no address of a host of an entry with these labels, and it tells calls apart by
// nothing else; empty where it knows one.
func (s *ServiceEntry) Unaddressed(host string, labels map[string]string) string {
	switch {
	case len(s.Addresses) > 0:
		return ""
	case IsWildcard(host):
		return "Istio gives a wildcard none"
	case strings.EqualFold(labels[optOut], "false"):
		return "by the label " + optOut + " Istio gives it none"
	}
	return ""
}
