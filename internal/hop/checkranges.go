package hop

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CodeCostly is that of a setting by which every proxy that sees it spends memory or time that others need.
const CodeCostly = "costly-setting"

// maxRing and maxTable bound what a cluster hashes calls by: a place in a ring is some 24 bytes, in every proxy that knows the host,
// and a namespace may have a thousand hosts. A table of few endpoints has as many bits.
const (
	maxRing  = 4 << 10
	maxTable = 65537
)

// leastShare is the smallest share of a locality where calls are hashed, for the same reason.
const leastShare = 10

// maxWeights bounds the weights of an entry's endpoints together, as a multiple of the smallest: a ring has a place for the smallest.
const maxWeights = 1000

// maxSubsets and maxWildcardSubsets bound the subsets of a rule: whoever knows the host has each of them for each port, and of a wildcard
// for each host.
const (
	maxSubsets         = 100
	maxWildcardSubsets = 10
)

// keys are those of a setting that is written as a path.
func keys(path string) []string { return strings.Split(path, ".") }

// sizes are what a setting by which calls are hashed may be at most.
var sizes = []struct {
	keys []string
	most int64
}{
	{keys("minimumRingSize"), maxRing},
	{keys("ringHash.minimumRingSize"), maxRing},
	{keys("maglev.tableSize"), maxTable},
}

// numbers are those that Envoy takes where Istio's CRD has no bounds of its own.
var numbers = []struct {
	keys []string
	most float64
}{
	{keys("connectionPool.tcp.maxConnections"), math.MaxInt32},
	{keys("connectionPool.http.http1MaxPendingRequests"), math.MaxInt32},
	{keys("connectionPool.http.http2MaxRequests"), math.MaxInt32},
	{keys("connectionPool.http.maxConcurrentStreams"), math.MaxInt32},
	{keys("connectionPool.http.maxRequestsPerConnection"), math.MaxInt32},
	{keys("connectionPool.http.maxRetries"), math.MaxInt32},
	{keys("outlierDetection.maxEjectionPercent"), 100},
	{keys("outlierDetection.minHealthPercent"), 100},
	{keys("retryBudget.percent"), 100},
	{keys("loadBalancer.warmup.minimumPercent"), 100},
}

// spans are the shortest of each time; whoever wakes more often keeps a proxy, or the host, from the work of others.
var spans = []struct {
	keys  []string
	least time.Duration
}{
	{keys("connectionPool.tcp.idleTimeout"), 0},
	{keys("connectionPool.tcp.connectTimeout"), time.Millisecond},
	{keys("connectionPool.tcp.maxConnectionDuration"), time.Millisecond},
	{keys("connectionPool.tcp.tcpKeepalive.time"), time.Second},
	{keys("connectionPool.tcp.tcpKeepalive.interval"), time.Second},
	{keys("connectionPool.http.idleTimeout"), 0},
	{keys("connectionPool.http.http2KeepAlive.interval"), time.Second},
	{keys("connectionPool.http.http2KeepAlive.timeout"), time.Millisecond},
	{keys("outlierDetection.interval"), time.Second},
	{keys("outlierDetection.baseEjectionTime"), time.Millisecond},
	{keys("loadBalancer.warmup.duration"), time.Millisecond},
	{keys("loadBalancer.warmupDurationSecs"), time.Millisecond},
	{keys("retryBudget.budgetInterval"), 0},
}

// checkSubsets refuses more subsets than a host has versions.
func checkSubsets(out *Refusals, rule *egress.Rule) {
	most := maxSubsets
	if egress.IsWildcard(rule.Host) {
		most = maxWildcardSubsets
	}
	if len(rule.Subsets) > most {
		out.add(CodeCostly, field.NewPath("spec", "subsets"), fmt.Sprintf("%d subsets are more than %d, and every proxy that knows the host would have all of them for each of its ports", len(rule.Subsets), most),
			fmt.Sprintf("name %d at most; a rule for one host may have %d", most, maxSubsets))
	}
}

// checkRanges refuses numbers and times of settings that proxies reject, or that cost more than their host is worth.
func checkRanges(out *Refusals, settings map[string]any, path *field.Path) {
	for _, number := range numbers {
		if value, given := amountAt(settings, number.keys...); given && (value < 0 || value > number.most) {
			out.add(CodeBadValue, path.Child(number.keys[0], number.keys[1:]...), fmt.Sprintf("%v is none of 0 to %.0f, %s", value, number.most, unruly), "give one of these, or leave it out")
		}
	}
	for _, span := range spans {
		checkTime(out, settings, path, span.least, span.keys...)
	}
	checkShares(out, settings, path)
}

// checkTime refuses what is no length of time, which proxies reject, and one that is too short: Istio looks at whole milliseconds alone.
func checkTime(out *Refusals, of map[string]any, path *field.Path, least time.Duration, keys ...string) {
	written, given, _ := unstructured.NestedString(of, keys...)
	if !given {
		return
	}
	at := path.Child(keys[0], keys[1:]...)
	span, err := time.ParseDuration(written)
	switch {
	case err != nil || span < 0 || least > 0 && span < time.Millisecond:
		fix := "give one such as 10s"
		if least == 0 {
			fix = "give one such as 1h, or 0s for no end"
		}
		out.add(CodeBadValue, at, fmt.Sprintf("%.200q is no length of time, %s", written, unruly), fix)
	case span < least:
		out.add(CodeCostly, at, fmt.Sprintf("%s is shorter than %s, and the egress gateway, which others share, would be busy with it", written, least), fmt.Sprintf("give %s or more", least))
	}
}

// checkSizes refuses rings and tables that are large, and tables of a size that Envoy does not take.
func checkSizes(out *Refusals, hash map[string]any, path *field.Path) {
	for _, size := range sizes {
		value, given := numberAt(hash, size.keys...)
		if !given {
			continue
		}
		at := path.Child(size.keys[0], size.keys[1:]...)
		if value < 0 || value > size.most {
			out.add(CodeCostly, at, fmt.Sprintf("%d places are more than %d, and every proxy that knows the host would hold them for it, the egress gateway among them", value, size.most),
				fmt.Sprintf("give %d at most, or leave it out", size.most))
		} else if size.keys[0] == "maglev" && value != 0 && !big.NewInt(value).ProbablyPrime(0) {
			out.add(CodeBadValue, at, fmt.Sprintf("%d is no prime number, %s", value, unruly), fmt.Sprintf("give a prime number such as %d, or leave it out", maxTable))
		}
	}
}

// checkShares refuses shares of localities that are no percentages: by others a ring grows until the smallest has a place in it.
func checkShares(out *Refusals, settings map[string]any, path *field.Path) {
	balancer, _ := settings["loadBalancer"].(map[string]any)
	locality, _ := balancer["localityLbSetting"].(map[string]any)
	for i, from := range egress.Objects(locality, "distribute") {
		to, _ := from["to"].(map[string]any)
		for _, name := range sortedKeys(to) {
			at := path.Child("loadBalancer", "localityLbSetting", "distribute").Index(i).Child("to").Key(name)
			switch share, given := numberAt(to, name); {
			case given && (share < 1 || share > 100):
				out.add(CodeBadValue, at, fmt.Sprintf("%d is no share of 1 to 100 per cent", share), "give percentages that are 100 together")
			case given && share < leastShare && balancer["consistentHash"] != nil:
				out.add(CodeCostly, at, fmt.Sprintf("a share of %d per cent among calls that are hashed has every proxy that knows the host hold a large ring, in which it has its places", share),
					fmt.Sprintf("give %d per cent or more, or remove consistentHash", leastShare))
			}
		}
	}
}

// CheckWeights refuses weights so far apart that a ring of places for calls to be hashed by would have to be large. An entry that was
// stored with such has an exit all the same, which is without them.
func CheckWeights(endpoints []egress.Endpoint) (out Refusals) {
	least, sum, at := uint64(math.MaxUint64), uint64(0), 0
	for i, endpoint := range endpoints {
		weight := max(uint64(endpoint.Weight), 1)
		if sum += weight; weight < least {
			least, at = weight, i
		}
	}
	if len(endpoints) > 0 && sum/least > maxWeights && sum/least > uint64(len(endpoints)) {
		out.add(CodeCostly, field.NewPath("spec", "endpoints").Index(at).Child("weight"),
			fmt.Sprintf("all weights together are more than %d times this one, and proxies that hash calls would hold a ring in which the smallest has a place", maxWeights),
			"give weights that are closer together, such as percentages")
	}
	return out
}
