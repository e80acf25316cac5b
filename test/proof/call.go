package proof

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Protocol is how a gateway tells a call: by its Host, by its SNI, or not at all.
type Protocol string

// The protocols.
const (
	HTTP Protocol = "http"
	TLS  Protocol = "tls"
	TCP  Protocol = "tcp"
)

// Target is where a call goes as its caller has it.
type Target struct {
	Protocol Protocol
	Host     string
	Port     int
}

var schemes = map[string]Target{
	"http": {HTTP, "", 80}, "grpc": {HTTP, "", 0}, "https": {TLS, "", 443}, "tls": {TLS, "", 443}, "tcp": {TCP, "", 0},
}

func (c Call) target() (Target, error) {
	of, err := url.Parse(c.To)
	if err != nil {
		return Target{}, err
	}
	out, known := schemes[of.Scheme]
	if !known || of.Hostname() == "" {
		return Target{}, fmt.Errorf("%q is not of the form http://host, grpc://host:port, https://host, tls://host or tcp://host:port", c.To)
	}
	out.Host = of.Hostname()
	if of.Port() != "" {
		if out.Port, err = strconv.Atoi(of.Port()); err != nil {
			return Target{}, err
		}
	}
	if out.Port == 0 {
		return Target{}, fmt.Errorf("%q names no port", c.To)
	}
	return out, nil
}

// Target returns where the call goes; Load has seen that it can be read.
func (c Call) Target() Target {
	out, _ := c.target()
	return out
}

// Caller returns the namespace and the service account of the caller.
func (c Call) Caller() (namespace, account string) {
	namespace, account, _ = strings.Cut(c.From, "/")
	return namespace, cmp.Or(account, "default")
}

// Exits returns what the gateway must lead the call to.
func (c Call) Exits() []string {
	if len(c.Exit) > 0 {
		return c.Exit
	}
	target := c.Target()
	return []string{fmt.Sprintf("%s:%d", target.Host, target.Port)}
}

func (c Call) String() string {
	out := c.To + " from " + c.From
	if c.Dials != "" {
		out += " past its sidecar"
	}
	if c.Ingress != nil {
		out += " by its ingress gateway"
	}
	return out
}
