package trace

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// asking is what a proxy knows of a call that it looks for a route of.
type asking struct {
	port uint32
	// gateway is the Gateway object by which the call comes, mesh at a sidecar.
	gateway string
	// authority is the Host header, path empty for any, identity that of the client's certificate.
	authority, path, identity string
}

const clientCertificate = "x-forwarded-client-cert"

// certificate is the header in which a gateway says whose certificate it verified.
func (a asking) certificate() string {
	if a.identity == "" {
		return ""
	}
	return `By=spiffe://gateway;Hash=00;Subject="";URI=` + a.identity
}

// applies says whether a proxy has a route at all for calls of a port.
func (p *proxy) applies(block []fields, of asking, http bool) bool {
	for _, one := range block {
		gateways := textsOf(one, "gateways")
		if len(gateways) > 0 && !slices.ContainsFunc(gateways, func(name string) bool { return name == of.gateway || strings.HasSuffix(of.gateway, "/"+name) }) {
			return false
		}
		if port := numberOf(one, "port"); port != 0 && port != of.port {
			return false
		}
		if http && len(gateways) > 0 {
			// Istio looks at neither there.
			continue
		}
		if from := textOf(one, "sourceNamespace"); !egress.Selects(labelsOf(one, "sourceLabels"), p.labels) || from != "" && from != p.namespace {
			return false
		}
	}
	return true
}

// applicable returns the HTTP routes that a proxy has for calls of a port, each with the blocks by which it does.
func (p *proxy) applicable(all []*route, of asking) (out []*route) {
	for _, one := range p.whole(all) {
		next := *one
		next.blocks = nil
		for _, block := range one.blocks {
			if p.applies(block, of, true) {
				next.blocks = append(next.blocks, block)
			}
		}
		if len(next.blocks) > 0 {
			out = append(out, &next)
		}
	}
	return out
}

// meets says whether an HTTP call may meet a block, and by what else than its URL.
func (a asking) meets(block []fields) (when []string, may bool) {
	for _, one := range block {
		if found := fieldsOf(one, "authority"); found != nil && !fits(found, a.authority) {
			return nil, false
		}
		if found := fieldsOf(one, "uri"); found != nil && textOf(found, "prefix") != "/" {
			if a.path != "" && !fits(found, a.path) {
				return nil, false
			} else if a.path == "" {
				when = append(when, "path "+said(found))
			}
		}
		headers := fieldsOf(one, "headers")
		for _, name := range sorted(headers) {
			value, _ := headers[name].(fields)
			if strings.EqualFold(name, clientCertificate) && a.gateway != mesh {
				if !fits(value, a.certificate()) {
					return nil, false
				}
				continue
			}
			when = append(when, "header "+name+" "+said(value))
		}
		without := fieldsOf(one, "withoutHeaders")
		for _, name := range sorted(without) {
			value, _ := without[name].(fields)
			when = append(when, "no header "+name+" "+said(value))
		}
		for _, key := range []string{"method", "scheme"} {
			if found := fieldsOf(one, key); found != nil {
				when = append(when, key+" "+said(found))
			}
		}
		query := fieldsOf(one, "queryParams")
		for _, name := range sorted(query) {
			value, _ := query[name].(fields)
			when = append(when, "query "+name+" "+said(value))
		}
	}
	return when, true
}

func sorted(of fields) (out []string) {
	for name := range of {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// fits says whether a value is one of a StringMatch of Istio's.
func fits(match fields, value string) bool {
	switch {
	case match["exact"] != nil:
		return value == textOf(match, "exact")
	case match["prefix"] != nil:
		return strings.HasPrefix(value, textOf(match, "prefix"))
	case match["regex"] != nil:
		expression, err := regexp.Compile("^(?:" + textOf(match, "regex") + ")$")
		return err == nil && expression.MatchString(value)
	}
	return true
}

// said is a StringMatch in words.
func said(match fields) string {
	for _, key := range []string{"exact", "prefix", "regex"} {
		if match[key] != nil {
			return fmt.Sprintf("%s %q", key, textOf(match, key))
		}
	}
	return "present"
}
