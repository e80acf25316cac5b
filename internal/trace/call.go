package trace

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Call is one that a workload makes.
type Call struct {
	// Namespace and ServiceAccount are the caller's, Labels those of its pod.
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	Labels         map[string]string `json:"labels,omitempty"`
	// Family is how proxies tell it from others: HTTP, TLS or TCP.
	Family egress.Family `json:"family"`
	// Host is as it is called, canonical.
	Host string `json:"host"`
	Port uint32 `json:"port"`
	// Path is that of an HTTP call, empty for any.
	Path string `json:"path,omitempty"`
}

// scheme is what a scheme of URLs says of a call.
type scheme struct {
	family egress.Family
	port   uint32
}

var schemes = map[string]scheme{
	"http": {egress.FamilyHTTP, 80}, "grpc": {egress.FamilyHTTP, 0}, "https": {egress.FamilyTLS, 443}, "tls": {egress.FamilyTLS, 443}, "tcp": {egress.FamilyTCP, 0},
}

// ParseCall reads a call from NAMESPACE or NAMESPACE/SERVICEACCOUNT, whose service account is default, to a URL of scheme http, grpc,
// https, tls or tcp.
func ParseCall(from, to string) (Call, error) {
	namespace, account, _ := strings.Cut(from, "/")
	if namespace == "" || strings.Contains(account, "/") {
		return Call{}, fmt.Errorf("%q is neither a NAMESPACE nor a NAMESPACE/SERVICEACCOUNT", from)
	}
	of, err := url.Parse(to)
	if err != nil {
		return Call{}, err
	}
	by, known := schemes[of.Scheme]
	if !known || of.Hostname() == "" {
		return Call{}, fmt.Errorf("%q is not of the form http://host, grpc://host:port, https://host, tls://host or tcp://host:port", to)
	}
	out := Call{
		Namespace: namespace, ServiceAccount: cmp.Or(account, "default"), Family: by.family,
		Host: egress.Canonical(of.Hostname()), Port: by.port, Path: of.EscapedPath(),
	}
	if of.Port() != "" {
		number, err := strconv.ParseUint(of.Port(), 10, 16)
		if err != nil {
			return Call{}, fmt.Errorf("%q: port %q is none", to, of.Port())
		}
		out.Port = uint32(number)
	}
	if out.Port == 0 {
		return Call{}, fmt.Errorf("%q names no port", to)
	}
	if out.Path == "/" {
		out.Path = ""
	}
	return out, nil
}

// String returns the call as a URL.
func (c Call) String() string {
	name := map[egress.Family]string{egress.FamilyHTTP: "http", egress.FamilyTLS: "https", egress.FamilyTCP: "tcp"}[c.Family]
	out := name + "://" + c.Host
	if schemes[name].port != c.Port {
		out += fmt.Sprintf(":%d", c.Port)
	}
	return out + c.Path
}

// Caller returns who calls.
func (c Call) Caller() string { return c.Namespace + "/" + c.ServiceAccount }

// authority is what the call says in its Host header.
func (c Call) authority() string {
	if c.Port == 80 {
		return c.Host
	}
	return fmt.Sprintf("%s:%d", c.Host, c.Port)
}
