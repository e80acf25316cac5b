package hop

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Envoy reads %…% in the value of a header as a command, and rejects the whole route configuration for one that it does not
// know: that of every proxy that imports the VirtualService.

// command is one of Envoy's, with its arguments and a length.
var command = regexp.MustCompile(`^%([A-Z][A-Z0-9_]*)(\([^%()]*\))?(:[0-9]+)?%`)

// commands are those that Envoy knows in header values.
var commands = strings.Fields(`BYTES_RECEIVED BYTES_SENT CEL CONNECTION_ID CONNECTION_TERMINATION_DETAILS DOWNSTREAM_DIRECT_LOCAL_ADDRESS
	DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
	DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_END
	DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL
	DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT
	DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION DURATION DYNAMIC_METADATA EMIT_TIME ENVIRONMENT FILTER_STATE HOSTNAME
	METADATA PER_REQUEST_STATE PROTOCOL REQ REQUESTED_SERVER_NAME REQUEST_DURATION RESP RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_DURATION
	RESPONSE_FLAGS RESPONSE_FLAGS_LONG ROUTE_NAME START_TIME STREAM_ID TRACE_ID TRAILER UPSTREAM_CLUSTER UPSTREAM_HOST UPSTREAM_LOCAL_ADDRESS
	UPSTREAM_METADATA UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT VIRTUAL_CLUSTER_NAME`)

// isFormat says whether Envoy takes a header's value.
func isFormat(value string) bool {
	for {
		i := strings.IndexByte(value, '%')
		if i < 0 {
			return true
		}
		value = value[i:]
		if rest, escaped := strings.CutPrefix(value, "%%"); escaped {
			value = rest
			continue
		}
		found := command.FindStringSubmatch(value)
		if found == nil || !slices.Contains(commands, found[1]) {
			return false
		}
		value = value[len(found[0]):]
	}
}

// CheckHeaders refuses header values of a VirtualService's routes that proxies would reject, those of routes that lead nowhere among them.
func CheckHeaders(vs *unstructured.Unstructured) (out Refusals) {
	for i, item := range egress.RoutesOf(vs, "http") {
		route, _ := item.(map[string]any)
		path := field.NewPath("spec", "http").Index(i)
		checkHeaders(&out, route, path)
		to, _ := route["route"].([]any)
		for j, item := range to {
			holder, _ := item.(map[string]any)
			checkHeaders(&out, holder, path.Child("route").Index(j))
		}
	}
	return out
}

func checkHeaders(out *Refusals, holder map[string]any, path *field.Path) {
	if holder["headers"] == nil {
		return
	}
	for _, side := range []string{"request", "response"} {
		for _, verb := range []string{"add", "set"} {
			values := egress.HeadersOf(holder, side, verb)
			for _, name := range slices.Sorted(maps.Keys(values)) {
				value, _ := values[name].(string)
				if at := path.Child("headers", side, verb).Key(name); strings.ContainsAny(value, "\x00\r\n") {
					out.add("header-format", at, fmt.Sprintf("value %q has a character that no header has, and every proxy that sees the route would reject its configuration", value),
						"write it in one line")
				} else if !isFormat(value) {
					out.add("header-format", at,
						fmt.Sprintf("value %q has a %%…%% that Envoy does not know, and every proxy that sees the route would reject its configuration", value),
						"write %% for a percent sign, or a command of Envoy's such as %REQ(x-request-id)%")
				}
			}
		}
	}
}
