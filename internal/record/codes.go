package record

import "sync"

const (
	// maxCodes bounds the codes of one policy that are counted apart: its Rego may take them from objects, whose authors are anybody.
	maxCodes = 50
	// otherCode is what those beyond are counted as.
	otherCode = "other"
)

// codes are those that policies gave so far.
type codes struct {
	mu sync.Mutex
	of map[string]map[string]bool
}

// label returns what a code of a policy is counted as. Those that no policy gave are ours, and not many.
func (c *codes) label(policy, code string) string {
	if policy == "" {
		return code
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.of[policy]
	switch {
	case known[code]:
		return code
	case len(known) == maxCodes:
		return otherCode
	case c.of == nil:
		c.of = map[string]map[string]bool{}
	}
	if known == nil {
		known = map[string]bool{}
		c.of[policy] = known
	}
	known[code] = true
	return code
}
