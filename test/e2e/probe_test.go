//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// order, answer and connection are what the probe takes and gives.
type order struct {
	Protocol string            `json:"protocol"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	Headers  map[string]string `json:"headers,omitempty"`
	Dial     string            `json:"dial,omitempty"`
	SNI      string            `json:"sni,omitempty"`
	Hop      string            `json:"hop,omitempty"`
	Patient  bool              `json:"patient,omitempty"`
}

func (o order) String() string { return fmt.Sprintf("%s://%s:%d", o.Protocol, o.Host, o.Port) }

type answer struct {
	Caller, Host, Error, Server, SNI, Identity string
	Port, Status, Count                        int
}

type connection struct {
	Caller      string
	Port, Heard int
	At          time.Time
}

// appPort is where apps take orders.
const appPort = 9000

// call makes a pod call, by namespace and name; a namespace alone stands for its app.
func (c *cluster) call(ctx context.Context, from string, o order) (answer, error) {
	namespace, pod, _ := strings.Cut(from, "/")
	body, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	raw, err := c.kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(fmt.Sprintf("%s:%d", cmp.Or(pod, "app"), appPort)).SubResource("proxy").
		Suffix("call").SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
	if err != nil {
		return answer{}, err
	}
	var out answer
	return out, json.Unmarshal(raw, &out)
}

// log is what the servers outside have seen.
type log struct {
	Connections []connection
	Requests    int
}

// heardSince is how many bytes came by connections that an earlier log has not: older ones still say goodbye, and calls by them are
// counted as requests.
func (l log) heardSince(earlier log) (out int) {
	var last time.Time
	for _, connection := range earlier.Connections {
		if connection.At.After(last) {
			last = connection.At
		}
	}
	for _, connection := range l.Connections {
		if connection.At.After(last) {
			out += connection.Heard
		}
	}
	return out
}

func (c *cluster) seen(ctx context.Context) (out log, err error) {
	for _, server := range servers {
		raw, err := c.kube.CoreV1().RESTClient().Get().Namespace(outsideNamespace).Resource("pods").Name(server + ":9999").SubResource("proxy").DoRaw(ctx)
		if err != nil {
			return log{}, err
		}
		var one log
		if err := json.Unmarshal(raw, &one); err != nil {
			return log{}, err
		}
		out.Connections = append(out.Connections, one.Connections...)
		out.Requests += one.Requests
	}
	return out, nil
}

// direct returns the connections outside that governed clients made themselves, and how many there were at all.
func (c *cluster) direct(ctx context.Context) (direct []connection, all int, err error) {
	seen, err := c.seen(ctx)
	for _, connection := range seen.Connections {
		for _, app := range c.apps {
			if connection.Caller == app && !c.isOpen(connection.At) {
				direct = append(direct, connection)
			}
		}
	}
	return direct, len(seen.Connections), err
}

// isOpen says whether calls could go straight at a time, and a test knew it.
func (c *cluster) isOpen(at time.Time) bool {
	return slices.ContainsFunc(c.open, func(span [2]time.Time) bool { return at.After(span[0]) && at.Before(span[1]) })
}

// arrives waits until a call is answered, and requires that it came from the client's gateway, at the port, to the host's
// server. Where a route rewrites the host, as is the name the server must be called by once the proxy knows of the route.
func (c *cluster) arrives(t *testing.T, from string, o order, port int, as string) answer {
	t.Helper()
	var got answer
	err := until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		got, err = c.call(ctx, from, o)
		return err == nil && got.Error == "" && (as == "" || got.Host == as), nil
	})
	require.NoError(t, err, "%s from %s: %+v", o, from, got)
	gateways, err := c.gateways(t.Context(), wayOf(from))
	require.NoError(t, err)
	require.True(t, slices.Contains(gateways, got.Caller), "%s from %s came from %s, the gateway is %v", o, from, got.Caller, gateways)
	require.Equal(t, port, got.Port, "%s from %s arrived at another port", o, from)
	require.Equal(t, serverCalled(got, o), got.Server, "%s from %s arrived at another server than that of %q", o, from, got.Host)
	return got
}

// serverCalled is the server of the host that a server was called by; where it was told none, of the one that was called.
func serverCalled(got answer, o order) string {
	asked, _, _ := strings.Cut(got.Host, ":")
	return serverOf(cmp.Or(asked, o.Host))
}

// rejects returns how often proxies rejected their configuration since istiod started, by istiod's own count.
func (c *cluster) rejects(ctx context.Context) (string, error) {
	pods := &corev1.PodList{}
	if err := c.List(ctx, pods, client.InNamespace("istio-system"), client.MatchingLabels{"app": "istiod"}); err != nil {
		return "", err
	}
	var out []string
	for _, pod := range pods.Items {
		raw, err := c.kube.CoreV1().RESTClient().Get().Namespace("istio-system").Resource("pods").Name(pod.Name + ":15014").SubResource("proxy").Suffix("metrics").DoRaw(ctx)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(raw)) {
			if strings.HasPrefix(line, "pilot_total_xds_rejects") {
				out = append(out, strings.TrimSpace(line))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; "), nil
}

// fails waits until a call is no longer answered: a proxy forgets a moment after the API server.
func (c *cluster) fails(t *testing.T, from string, o order) {
	t.Helper()
	var got answer
	err := until(context.WithoutCancel(t.Context()), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		got, err = c.call(ctx, from, o)
		return err == nil && got.Error != "", nil
	})
	require.NoError(t, err, "%s from %s is still answered by %s", o, from, got.Caller)
}
