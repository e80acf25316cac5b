package hop

import (
	"regexp"
	"strings"
)

// Envoy reads %…% in the value of a header as a command, and rejects the whole route configuration for one that it does not
// know, or that has what it does not take: that of every proxy that imports the VirtualService.

// command is one of Envoy's, with its arguments and a length.
var command = regexp.MustCompile(`^%([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(:[0-9]{1,9})?%`)

// usage is what a command takes.
type usage struct {
	arguments func(string) bool
	length    bool
}

// commands are those that Envoy knows in header values, by name. CEL is none of them: what it takes, an expression, Envoy alone can read.
var commands = byName(map[string]usage{
	`ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_SENT CONNECTION_ID CONNECTION_TERMINATION_DETAILS DOWNSTREAM_DIRECT_LOCAL_ADDRESS
	DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION
	DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
	DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT
	DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN
	DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL
	DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT
	DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED
	DOWNSTREAM_WIRE_BYTES_SENT DURATION FILTER_CHAIN_NAME GRPC_STATUS_NUMBER HOSTNAME PROTOCOL REQUESTED_SERVER_NAME REQUEST_DURATION
	REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_DURATION RESPONSE_FLAGS RESPONSE_FLAGS_LONG
	RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION ROUNDTRIP_DURATION ROUTE_NAME STREAM_ID TLS_JA3_FINGERPRINT TRACE_ID
	UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST
	UPSTREAM_HOST_NAME UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
	UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER
	UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
	UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION
	UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME`: {arguments: written(``)},

	`DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START EMIT_TIME EMIT_TIME_LOCAL START_TIME START_TIME_LOCAL UPSTREAM_PEER_CERT_V_END
	UPSTREAM_PEER_CERT_V_START`: {arguments: isTime},

	`REQ RESP TRAILER`: {arguments: written(`:?[\w!#$&'*+.^|~-]+(\?(:?[\w!#$&'*+.^|~-]+)?)?`), length: true},

	`CLUSTER_METADATA DYNAMIC_METADATA UPSTREAM_METADATA`: {arguments: written(`[^(%]+`)},

	`METADATA`:                           {arguments: written(`(CLUSTER|DYNAMIC|LISTENER|ROUTE|UPSTREAM_HOST|VIRTUAL_HOST):[^(%]+`), length: true},
	`FILTER_STATE UPSTREAM_FILTER_STATE`: {arguments: written(`[^:(%]+(:(PLAIN|TYPED|FIELD:[^:(%]+))?`), length: true},
	`ENVIRONMENT`:                        {arguments: written(`[^(%]+`), length: true},
	`GRPC_STATUS`:                        {arguments: written(`(CAMEL_STRING|SNAKE_STRING|NUMBER)?`)},
})

func byName(of map[string]usage) map[string]usage {
	out := map[string]usage{}
	for names, takes := range of {
		for _, name := range strings.Fields(names) {
			out[name] = takes
		}
	}
	return out
}

// written says whether arguments are written as an expression has it.
func written(expression string) func(string) bool {
	return regexp.MustCompile(`^(?:` + expression + `)$`).MatchString
}

// lineBreak is what Envoy takes for one in the format of a time.
var lineBreak = regexp.MustCompile(`%[-_0^#]*[1-9]*[EO]?n`)

// isTime says whether arguments are the format of a time.
func isTime(arguments string) bool { return !lineBreak.MatchString(arguments) }

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
		if found == nil {
			return false
		}
		if takes, known := commands[found[1]]; !known || !takes.arguments(found[2]) || found[3] != "" && !takes.length {
			return false
		}
		value = value[len(found[0]):]
	}
}
