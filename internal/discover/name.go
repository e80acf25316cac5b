package discover

import (
	"net/netip"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// numeric is the last label of no name that DNS has.
var numeric = regexp.MustCompile(`^[0-9]+$|^0x[0-9a-f]*$`)

// nameOf returns the one spelling of a host of a Host header or of an SNI, without its port; false for what is no name that DNS can
// have: apps write what they like.
func nameOf(raw string) (string, bool) {
	if len(raw) > 512 {
		return "", false
	}
	host := egress.Canonical(egress.HostOnly(raw))
	last := host[strings.LastIndex(host, ".")+1:]
	if len(validation.IsDNS1123Subdomain(host)) > 0 || !strings.Contains(host, ".") || numeric.MatchString(last) {
		return "", false
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(validation.IsDNS1123Label(label)) > 0 {
			return "", false
		}
	}
	return host, true
}

// isAddress says whether a Host header is an address, which names nothing.
func isAddress(raw string) bool {
	_, err := netip.ParseAddr(strings.Trim(egress.HostOnly(raw), "[]"))
	return err == nil
}

var (
	// replica is the name of a pod of a Deployment, ordinal that of one of a StatefulSet.
	replica = regexp.MustCompile(`^(.+)-[a-z0-9]{6,10}-[a-z0-9]{5}$`)
	ordinal = regexp.MustCompile(`^(.+)-[0-9]{1,5}$`)
)

// WorkloadOf returns the name of the workload of a pod, by the names that Kubernetes gives to pods; empty for no name of a pod.
func WorkloadOf(pod string) string {
	if len(validation.IsDNS1123Subdomain(pod)) > 0 {
		return ""
	}
	for _, form := range []*regexp.Regexp{replica, ordinal} {
		if match := form.FindStringSubmatch(pod); match != nil {
			return match[1]
		}
	}
	return pod
}
