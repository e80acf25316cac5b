package egress

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	gatewayAPI = "gateway.networking.k8s.io"
	networking = "networking.istio.io"
)

// rule returns a rule of a route as a route of a VirtualService, as far as it says where calls end. Its lists have the
// indexes of the rule's own.
func (r *APIRoute) rule(rule map[string]any, i int) map[string]any {
	at, written := field.NewPath("spec", "rules").Index(i), fmt.Sprintf("spec.%s[%d]", r.section, i)
	r.places[written] = at
	out := map[string]any{}
	var backends, mirrors []any
	for j, backend := range Objects(rule, "backendRefs") {
		from, to := at.Child("backendRefs").Index(j), fmt.Sprintf("%s.route[%d]", written, j)
		r.places[to] = from
		weighted := map[string]any{}
		if destination := r.destination(backend); destination != nil {
			weighted["destination"] = destination
			r.places[to+".destination"] = from
		}
		r.filters(backend, from, to, weighted, &mirrors)
		backends = append(backends, weighted)
	}
	r.filters(rule, at, written, out, &mirrors)
	if len(backends) > 0 {
		out["route"] = backends
	}
	if len(mirrors) > 0 {
		out["mirrors"] = mirrors
	}
	return out
}

// destination is where a backend leads, nil for one that is neither a Service nor a host. Of TLS calls Istio takes them for
// those, too, and leads them nowhere.
func (r *APIRoute) destination(backend map[string]any) map[string]any {
	host := text(backend, "name")
	switch text(backend, "group") + "/" + cmp.Or(text(backend, "kind"), "Service") {
	case networking + "/Hostname":
	case "/Service":
		host = r.mesh.Qualify(host, cmp.Or(text(backend, "namespace"), r.Namespace))
	default:
		if r.section != "tls" {
			return nil
		}
		host = "unsupported." + r.mesh.ClusterDomain
	}
	out := map[string]any{"host": host}
	if port := Number(backend["port"]); port != 0 {
		out["port"] = map[string]any{"number": int64(port)}
	}
	return out
}

// filters puts what the filters of a rule, or of a backend, do to where calls end into its form.
func (r *APIRoute) filters(holder map[string]any, at *field.Path, written string, into map[string]any, mirrors *[]any) {
	rule := written[:strings.Index(written, "]")+1]
	for k, filter := range Objects(holder, "filters") {
		path := at.Child("filters").Index(k)
		if mirror, _ := filter["requestMirror"].(map[string]any); mirror != nil {
			backend, _ := mirror["backendRef"].(map[string]any)
			if destination := r.destination(backend); destination != nil {
				r.places[fmt.Sprintf("%s.mirrors[%d].destination", rule, len(*mirrors))] = path.Child("requestMirror", "backendRef")
				*mirrors = append(*mirrors, map[string]any{"destination": destination})
			}
		}
		if rewrite, _ := filter["urlRewrite"].(map[string]any); text(rewrite, "hostname") != "" {
			r.places[written+".rewrite.authority"] = path.Child("urlRewrite", "hostname")
			into["rewrite"] = map[string]any{"authority": text(rewrite, "hostname")}
		}
		for key, side := range map[string]string{"requestHeaderModifier": "request", "responseHeaderModifier": "response"} {
			if modifier, _ := filter[key].(map[string]any); modifier != nil {
				r.headers(modifier, path.Child(key), written+".headers."+side, side, into)
			}
		}
	}
}

// headers puts what a filter sets and adds into a form: of several values of a name the first counts.
func (r *APIRoute) headers(modifier map[string]any, at *field.Path, written, side string, into map[string]any) {
	headers, _ := into["headers"].(map[string]any)
	if headers == nil {
		headers = map[string]any{}
		into["headers"] = headers
	}
	verbs := map[string]any{}
	for _, verb := range []string{"set", "add"} {
		values := map[string]any{}
		for _, item := range Objects(modifier, verb) {
			name := strings.ToLower(text(item, "name"))
			if _, known := values[name]; !known {
				values[name] = text(item, "value")
			}
		}
		r.places[written+"."+verb] = at.Child(verb)
		verbs[verb] = values
	}
	headers[side] = verbs
}
