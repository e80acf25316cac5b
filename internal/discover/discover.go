// Package discover finds in the access logs of sidecars which hosts workloads call, and drafts what a mesh needs that lets nothing
// out but what entries name. Whatever a log says was chosen by an app: names are held to be names, and what is kept is bounded.
package discover

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Log finds calls in access logs. It is not safe for concurrent use.
type Log struct {
	// Inside says whether a host is the mesh's own.
	Inside     func(host string) bool
	namespaces map[string]map[Target]*Found
	Count      Count
}

// Count is how many lines were read, and what became of those that no host was taken from.
type Count struct {
	Lines int `json:"lines"`
	// Calls are those of apps to what is outside the mesh.
	Calls int `json:"calls"`
	// Others are no access logs, or of containers other than the sidecar; Unreadable access logs in another form than Istio's.
	Others     int `json:"others"`
	Unreadable int `json:"unreadable"`
	// Inside are calls to the pod, or within the mesh.
	Inside int `json:"inside"`
	// Nameless are calls by what is no name: neither a host nor an address.
	Nameless int `json:"nameless"`
	// Full are calls to hosts that were left out because their namespace calls too many already.
	Full int `json:"full"`
}

const (
	// maxLine is the longest line that is read, in bytes.
	maxLine = 64 << 10
	// maxTargets is how many hosts and addresses are kept of a namespace, maxWorkloads how many workloads of each.
	maxTargets   = 1000
	maxWorkloads = 10
	// maxNamespaces bounds those that logs are read of.
	maxNamespaces = 5000
)

// How calls get out.
const (
	// Named: an entry names the host.
	Named = "named"
	// Open: the mesh lets out what nothing names.
	Open = "open"
	// Blocked: it does not.
	Blocked = "blocked"
)

// Target is what is called: a host, or where there is no name an address.
type Target struct {
	Host     string     `json:"host,omitempty"`
	Address  netip.Addr `json:"address,omitzero"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`
	// State is Named, Open or Blocked.
	State string `json:"state"`
}

// Found is what a namespace calls, how often, and its workloads that do.
type Found struct {
	Target
	Calls     int      `json:"calls"`
	Workloads []string `json:"workloads,omitempty"`
}

// New returns a Log that has read nothing.
func New(inside func(host string) bool) *Log {
	return &Log{Inside: inside, namespaces: map[string]map[Target]*Found{}}
}

// Read reads the log of a pod's sidecar, or one with the prefixes that kubectl logs --prefix writes, by which it knows the pods.
func (l *Log) Read(of io.Reader, namespace, workload string) error {
	return lines(of, func(line []byte, whole bool) {
		l.Count.Lines++
		l.line(line, whole, namespace, workload)
	})
}

// lines calls a function with the lines of a text; those that are too long are cut.
func lines(of io.Reader, do func(line []byte, whole bool)) error {
	reader := bufio.NewReaderSize(of, maxLine)
	for {
		line, err := reader.ReadSlice('\n')
		whole := !errors.Is(err, bufio.ErrBufferFull)
		if len(line) > 0 {
			do(line, whole)
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = reader.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sidecar is the name of the container of an Envoy of Istio's.
const sidecar = "istio-proxy"

func (l *Log) line(line []byte, whole bool, in, workload string) {
	text := strings.TrimRight(string(line), "\r\n")
	if rest, pod, container, prefixed := prefix(text); prefixed {
		if container != sidecar {
			l.Count.Others++
			return
		}
		text, workload = rest, WorkloadOf(pod)
	}
	of, sort := parse([]byte(text))
	switch {
	case sort == other:
		l.Count.Others++
	case sort == unreadable || !whole:
		l.Count.Unreadable++
	default:
		l.call(of, in, workload)
	}
}

// prefix takes off what kubectl logs --prefix writes before a line: [pod/NAME/CONTAINER].
func prefix(line string) (rest, pod, container string, is bool) {
	of, is := strings.CutPrefix(line, "[pod/")
	if !is {
		return line, "", "", false
	}
	of, rest, is = strings.Cut(of, "] ")
	pod, container, named := strings.Cut(of, "/")
	return rest, pod, container, is && named
}

// call takes a call in.
func (l *Log) call(of call, in, workload string) {
	target, what := l.target(of)
	switch what {
	case isInside:
		l.Count.Inside++
		return
	case isNameless:
		l.Count.Nameless++
		return
	}
	l.Count.Calls++
	all := l.namespaces[in]
	if all == nil && len(l.namespaces) < maxNamespaces {
		all = map[Target]*Found{}
		l.namespaces[in] = all
	}
	found := all[target]
	if found == nil {
		if all == nil || len(all) >= maxTargets {
			l.Count.Full++
			return
		}
		found = &Found{Target: target}
		all[target] = found
	}
	found.Calls++
	if workload != "" && len(found.Workloads) < maxWorkloads && !slices.Contains(found.Workloads, workload) {
		found.Workloads = append(found.Workloads, workload)
	}
}

// What a call is to.
const (
	isTarget = iota
	isInside
	isNameless
)

// target returns what a call is to.
func (l *Log) target(of call) (out Target, what int) {
	address := of.address()
	out.Port = address.Port()
	if out.State = stateOf(of); out.State == "" {
		return out, isInside
	}
	out.Protocol = protocolOf(of)
	if rest, is := strings.CutPrefix(of.cluster, "outbound|"); is {
		// outbound|443|subset|host: the host of an entry, or of a Service.
		parts := strings.Split(rest, "|")
		host, named := nameOf(parts[len(parts)-1])
		port, err := strconv.ParseUint(parts[0], 10, 16)
		if !named || l.Inside(host) || err != nil {
			return out, isInside
		}
		out.Host, out.Port = host, uint16(port)
		return out, isTarget
	}
	raw := of.sni
	if of.method != absent {
		raw = of.authority
	}
	host, named := nameOf(raw)
	switch {
	case of.method == "CONNECT":
		// It names what a proxy calls, and not the proxy.
		named = false
	case named && l.Inside(host):
		return out, isInside
	case !named && raw != absent && raw != "" && !isAddress(raw):
		return out, isNameless
	}
	if named && out.Port != 0 {
		out.Host = host
		return out, isTarget
	}
	if !address.IsValid() {
		return out, isNameless
	}
	out.Address = address.Addr()
	return out, isTarget
}

// stateOf says how a call got out, empty for one that is none of the app's, or stays in the mesh.
func stateOf(of call) string {
	switch {
	case strings.HasPrefix(of.cluster, "outbound|"):
		return Named
	case of.cluster == "PassthroughCluster":
		return Open
	case of.cluster == "BlackHoleCluster", of.cluster == absent && of.route == "block_all":
		return Blocked
	}
	return ""
}

// protocolOf returns that of a call, as entries name it.
func protocolOf(of call) string {
	switch {
	case of.method != absent && of.version == "HTTP/2":
		return "HTTP2"
	case of.method != absent:
		return "HTTP"
	case of.sni != absent && of.sni != "":
		return "TLS"
	}
	return "TCP"
}

// Namespaces returns those that call something outside, sorted.
func (l *Log) Namespaces() []string { return slices.Sorted(maps.Keys(l.namespaces)) }

// Found returns what a namespace calls, sorted by host, address, port and protocol.
func (l *Log) Found(in string) (out []Found) {
	for _, found := range l.namespaces[in] {
		one := *found
		one.Workloads = slices.Sorted(slices.Values(found.Workloads))
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.State, b.State))
	})
	return out
}
