package discover

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
)

// call is what a line of a sidecar's access log says of a call of its app.
type call struct {
	// cluster is the name of Envoy's upstream cluster, route that of the route that was taken.
	cluster, route string
	// method, version and authority are those of HTTP, "-" for other calls; sni is the name that a TLS client asks for.
	method, version, authority, sni string
	// destination is the address that the app called, upstream the one that Envoy called.
	destination, upstream string
}

// absent is how Envoy writes a value that there is none of.
const absent = "-"

// What a line may be.
type sort int

const (
	// other is a line that is no access log: Envoy and its agent write into the same stream.
	other sort = iota
	// unreadable is one of an access log in a form that Istio does not have by default.
	unreadable
	readable
)

// parse reads a line in Istio's default forms, as text or as JSON.
func parse(line []byte) (call, sort) {
	switch {
	case bytes.HasPrefix(line, []byte("{")):
		return parseJSON(line)
	case bytes.HasPrefix(line, []byte("[")) && bytes.Contains(line, []byte(`] "`)):
		return parseText(string(line))
	}
	return call{}, other
}

// parseJSON reads the fields that it needs, by Istio's names of them.
func parseJSON(line []byte) (call, sort) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return call{}, unreadable
	}
	text := func(name string) string {
		if value, is := fields[name].(string); is && value != "" {
			return value
		}
		return absent
	}
	_, clustered := fields["upstream_cluster"]
	_, local := fields["downstream_local_address"]
	switch _, timed := fields["start_time"]; {
	case !timed && !clustered:
		// The agent writes JSON too, where it is told to.
		return call{}, other
	case !clustered || !local:
		return call{}, unreadable
	}
	return call{
		cluster: text("upstream_cluster"), route: text("route_name"), method: text("method"), version: text("protocol"),
		authority: text("authority"), sni: text("requested_server_name"), destination: text("downstream_local_address"), upstream: text("upstream_host"),
	}, readable
}

// parseText reads a line from its end, where no header stands but the authority: what an app writes into the others may look like
// anything.
//
//	… "AUTHORITY" "UPSTREAM_HOST" CLUSTER UPSTREAM_LOCAL DOWNSTREAM_LOCAL DOWNSTREAM_REMOTE SNI ROUTE
func parseText(line string) (call, sort) {
	rest, tail, is := cutLast(line, `" `)
	fields := strings.Fields(tail)
	if !is || len(fields) < 6 {
		return call{}, unreadable
	}
	rest, upstream, quoted := cutLast(rest, `"`)
	before, closed := strings.CutSuffix(rest, `" `)
	_, authority, opened := cutLast(before, `"`)
	_, request, _ := strings.Cut(line, `] "`)
	method, _, _ := strings.Cut(request, " ")
	if !quoted || !closed || !opened || method == "" {
		return call{}, unreadable
	}
	return call{
		cluster: fields[0], destination: fields[2], sni: fields[4], route: strings.Join(fields[5:], " "),
		method: method, version: versionOf(request), authority: authority, upstream: upstream,
	}, readable
}

// versionOf finds the version of HTTP behind the path.
func versionOf(request string) string {
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"} {
		if strings.Contains(request, " "+version+`" `) {
			return version
		}
	}
	return absent
}

// cutLast cuts a text around the last of what separates it.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// address returns that of the app's call, with the port; the zero value for none.
func (c call) address() netip.AddrPort {
	for _, text := range []string{c.destination, c.upstream} {
		if out, err := netip.ParseAddrPort(text); err == nil && out.Port() != 0 {
			return netip.AddrPortFrom(out.Addr().Unmap().WithZone(""), out.Port())
		}
	}
	return netip.AddrPort{}
}
