package hop

import (
	"maps"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// tunnelLabel is Istio's label of workloads that take calls by HBONE alone.
const tunnelLabel = "networking.istio.io/tunnel"

// CheckTunnels refuses endpoints that the egress gateway would call by a tunnel of the mesh, but for those that an entry had before it was
// changed, which may be nil: no exit has the label, so that what is stored does no harm.
func CheckTunnels(entry, before *egress.ServiceEntry) (out Refusals) {
	had := map[string]bool{}
	if before != nil {
		for _, endpoint := range before.Endpoints {
			if _, given := endpoint.Labels[tunnelLabel]; given {
				had[endpoint.Address] = true
			}
		}
	}
	for i, endpoint := range entry.Endpoints {
		if _, given := endpoint.Labels[tunnelLabel]; given && !had[endpoint.Address] {
			out.add("endpoint-tunnel", field.NewPath("spec", "endpoints").Index(i).Child("labels").Key(tunnelLabel),
				"the egress gateway would call the endpoint by a tunnel of the mesh, at port 15008 and with its own identity", "remove the label: it is for pods of the mesh")
		}
	}
	return out
}

// untunnelled returns the labels of an endpoint as its exit has them.
func untunnelled(labels map[string]string) map[string]string {
	if _, given := labels[tunnelLabel]; !given {
		return labels
	}
	out := maps.Clone(labels) // which are the entry's own
	delete(out, tunnelLabel)
	return out
}
