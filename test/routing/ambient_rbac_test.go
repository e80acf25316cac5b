package routing

import (
	"slices"
	"strings"
	"testing"

	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	envoymatcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/stretchr/testify/require"
)

// request is one that a caller makes at a port of a service, with what it asks for: by its Host header or its SNI.
type request struct {
	principal, asks string
	port            uint32
}

// admits says whether a filter chain of a waypoint lets a call through.
func (c chosen) admits(t *testing.T, of request) bool {
	t.Helper()
	for _, rules := range c.rules(t) {
		require.Equal(t, rbac.RBAC_DENY, rules.GetAction())
		for _, policy := range rules.Policies {
			by := func(who *rbac.Principal) bool { return is(t, who, of.principal) }
			to := func(what *rbac.Permission) bool { return asks(t, what, of) }
			if slices.ContainsFunc(policy.Principals, by) && slices.ContainsFunc(policy.Permissions, to) {
				return false
			}
		}
	}
	return true
}

// rules are all by which the chain decides who calls, of HTTP or of connections.
func (c chosen) rules(t *testing.T) (out []*rbac.RBAC) {
	t.Helper()
	for _, filter := range c.chain.Filters {
		switch filter.Name {
		case "envoy.filters.network.rbac":
			var of networkrbac.RBAC
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&of))
			out = append(out, of.Rules)
		case "envoy.filters.network.http_connection_manager":
			var manager hcm.HttpConnectionManager
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&manager))
			for _, http := range manager.HttpFilters {
				if http.Name == "envoy.filters.http.rbac" {
					var of httprbac.RBAC
					require.NoError(t, http.GetTypedConfig().UnmarshalTo(&of))
					out = append(out, of.Rules)
				}
			}
		}
	}
	return out
}

// all says whether conditions hold together.
func all[T any](of []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(of, func(one T) bool { return !holds(one) })
}

// is says whether a condition holds for a caller; those that are made of us are about nothing else.
func is(t *testing.T, who *rbac.Principal, principal string) bool {
	t.Helper()
	holds := func(one *rbac.Principal) bool { return is(t, one, principal) }
	switch id := who.Identifier.(type) {
	case *rbac.Principal_Any:
		return id.Any
	case *rbac.Principal_AndIds:
		return all(id.AndIds.Ids, holds)
	case *rbac.Principal_OrIds:
		return slices.ContainsFunc(id.OrIds.Ids, holds)
	case *rbac.Principal_NotId:
		return !holds(id.NotId)
	case *rbac.Principal_FilterState:
		require.Equal(t, "io.istio.peer_principal", id.FilterState.Key)
		if prefix := id.FilterState.GetStringMatch().GetPrefix(); prefix != "" {
			return strings.HasPrefix(principal, prefix)
		}
		return id.FilterState.GetStringMatch().GetExact() == principal
	}
	require.Fail(t, "an unknown condition", "%v", who)
	return false
}

// asks says whether a condition holds for what is called.
func asks(t *testing.T, what *rbac.Permission, of request) bool {
	t.Helper()
	holds := func(one *rbac.Permission) bool { return asks(t, one, of) }
	switch rule := what.Rule.(type) {
	case *rbac.Permission_Any:
		return rule.Any
	case *rbac.Permission_AndRules:
		return all(rule.AndRules.Rules, holds)
	case *rbac.Permission_OrRules:
		return slices.ContainsFunc(rule.OrRules.Rules, holds)
	case *rbac.Permission_NotRule:
		return !holds(rule.NotRule)
	case *rbac.Permission_DestinationPort:
		return rule.DestinationPort == of.port
	case *rbac.Permission_Header:
		require.Equal(t, ":authority", rule.Header.Name)
		return spelt(rule.Header.GetStringMatch(), of.asks)
	case *rbac.Permission_RequestedServerName:
		// Envoy knows an SNI in lower case.
		return spelt(rule.RequestedServerName, strings.ToLower(of.asks))
	}
	require.Fail(t, "an unknown condition", "%v", what)
	return false
}

// spelt says whether a name is as a condition has it.
func spelt(matcher *envoymatcher.StringMatcher, name string) bool {
	fold := func(text string) string {
		if matcher.IgnoreCase {
			return strings.ToLower(text)
		}
		return text
	}
	if suffix := matcher.GetSuffix(); suffix != "" {
		return strings.HasSuffix(fold(name), fold(suffix))
	}
	return fold(matcher.GetExact()) == fold(name)
}
