package routing

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
)

// way is one that a proxy may lead a call.
type way struct {
	// cluster is where to, empty where the proxy answers by itself.
	cluster string
	// asks is what the call asks for from there on.
	asks string
}

// ways returns every way of a call: over all routes of the matched virtual host whose conditions the call may meet, all
// weights and all mirrors. The error is the simulator's for a call that nothing takes.
func ways(t *testing.T, sim *proxy, c call, port int, mode simulation.CallMode) ([]way, error) {
	t.Helper()
	result := sim.Run(c.simulated(port, mode))
	if result.VirtualHostMatched != "" {
		configuration := xdstest.ExtractRouteConfigurations(sim.Routes)[result.RouteConfigMatched]
		for _, vh := range configuration.GetVirtualHosts() {
			if vh.Name == result.VirtualHostMatched {
				return c.ofRoutes(t, vh), nil
			}
		}
	}
	if result.Error != nil {
		return nil, result.Error
	}
	var out []way
	for _, listener := range sim.Listeners {
		if listener.Name == result.ListenerMatched {
			out = append(out, c.ofChains(t, listener, result.FilterChainMatched)...)
		}
	}
	return out, nil
}

// clusters returns the clusters of all ways, sorted.
func clusters(t *testing.T, sim *proxy, c call, port int, mode simulation.CallMode) ([]string, error) {
	t.Helper()
	found, err := ways(t, sim, c, port, mode)
	var names []string
	for _, way := range found {
		if way.cluster != "" {
			names = append(names, way.cluster)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// ofChains returns the ways of the filter chains of a name. One SNI may match several of one name only if the generator made
// a mistake; they are all taken. The closest names count, and a chain without takes what no other does.
func (c call) ofChains(t *testing.T, of *listener.Listener, name string) (out []way) {
	t.Helper()
	asked, best := c.asked(), 0
	var chains []*listener.FilterChain
	for _, chain := range append(slices.Clone(of.FilterChains), of.DefaultFilterChain) {
		if chain == nil || chain.Name != name {
			continue
		}
		switch fits := specific(chain.GetFilterChainMatch().GetServerNames(), asked); {
		case fits > best:
			chains, best = []*listener.FilterChain{chain}, fits
		case fits == best:
			chains = append(chains, chain)
		}
	}
	for _, chain := range chains {
		if c.mutual != nil && !admits(t, chain, c.mutual.caller) {
			continue
		}
		tcp := xdstest.ExtractTCPProxy(t, chain)
		if tcp.GetCluster() != "" {
			out = append(out, way{cluster: tcp.GetCluster()})
		}
		for _, weighted := range tcp.GetWeightedClusters().GetClusters() {
			out = append(out, way{cluster: weighted.Name})
		}
	}
	return out
}

// specific says how closely the names of a chain fit what is asked for: 0 for a chain without, and the more the closer; less
// than 0 where they do not.
func specific(names []string, asked string) int {
	if asked == "" || len(names) == 0 {
		return 0
	}
	out := -1
	for _, name := range names {
		switch {
		case name == asked:
			out = max(out, len(asked)+1)
		case strings.HasPrefix(name, "*.") && strings.HasSuffix(asked, name[1:]):
			out = max(out, len(name))
		}
	}
	return out
}

func (c call) ofRoutes(t *testing.T, vh *route.VirtualHost) (out []way) {
	t.Helper()
	for _, r := range vh.Routes {
		if !decidedMatches(t, r.GetMatch(), c.decided()) {
			continue
		}
		action := r.GetRoute()
		asks := cmp.Or(action.GetHostRewriteLiteral(), c.authority())
		if action.GetCluster() != "" || action == nil {
			out = append(out, way{action.GetCluster(), asks})
		}
		for _, weighted := range action.GetWeightedClusters().GetClusters() {
			if weighted.GetWeight().GetValue() > 0 {
				out = append(out, way{weighted.Name, cmp.Or(weighted.GetHostRewriteLiteral(), asks)})
			}
		}
		for _, mirror := range action.GetRequestMirrorPolicies() {
			out = append(out, way{mirror.Cluster, asks})
		}
		if takesAll(r.GetMatch()) {
			break
		}
	}
	return out
}

// takesAll says whether a route that matches by its authority takes every call, so that none comes to those after it.
func takesAll(match *route.RouteMatch) bool {
	return match.GetPrefix() == "/" && len(match.GetQueryParameters()) == 0 &&
		!slices.ContainsFunc(match.GetHeaders(), func(header *route.HeaderMatcher) bool {
			return header.Name != ":authority" && header.Name != clientCertificate
		})
}

// asked is the SNI of the call, empty for none.
func (c call) asked() string {
	switch {
	case c.mutual != nil:
		return c.mutual.sni
	case c.tls:
		return c.host
	}
	return ""
}

const clientCertificate = "x-forwarded-client-cert"

// decided are the headers that a call is known to have.
func (c call) decided() map[string]string {
	out := map[string]string{":authority": c.authority()}
	if c.mutual != nil {
		// As a gateway writes it.
		out[clientCertificate] = `By=spiffe://cluster.local/ns/vault-egress/sa/vault-egress;Hash=0f;Cert="-----BEGIN%20CERTIFICATE-----";Subject="";URI=` + c.mutual.caller
	}
	return out
}

// decidedMatches evaluates the conditions on known headers; those on others may hold or not, so routes with them count.
func decidedMatches(t *testing.T, match *route.RouteMatch, known map[string]string) bool {
	t.Helper()
	for _, header := range match.GetHeaders() {
		value, decided := known[header.Name]
		if !decided {
			require.NotEqual(t, clientCertificate, header.Name, "who calls is known")
			continue
		}
		if header.GetInvertMatch() == takes(t, header.GetStringMatch(), value) {
			return false
		}
	}
	return true
}

func takes(t *testing.T, match *matcher.StringMatcher, value string) bool {
	t.Helper()
	switch of := match.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return value == of.Exact
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(value, of.Prefix)
	case *matcher.StringMatcher_SafeRegex:
		return regexp.MustCompile("^(?:" + of.SafeRegex.GetRegex() + ")$").MatchString(value)
	}
	require.Fail(t, "no such matcher is known", "%v", match)
	return false
}
