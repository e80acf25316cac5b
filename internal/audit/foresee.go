package audit

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/review"
)

// Entry is a stored ServiceEntry that has an exit, and what is wrong with it.
type Entry struct {
	Name types.NamespacedName
	// Hosts are as they are stored.
	Hosts    []string
	Findings []review.Finding
}

// Foresee says which entries the next pass would have suspended, with why, and how many each policy would suspend whose word is
// held. Last are those that are suspended now; suspending are the policies that suspend, with whether somebody confirmed that this
// may be any number at once.
func Foresee(entries []Entry, last map[types.NamespacedName]string, suspending map[string]bool, sealed int, maxShare float64) (next map[types.NamespacedName]string, held map[string]int) {
	found := map[objectKey]judged{}
	for _, entry := range entries {
		found[objectKey{serviceEntry, entry.Name.Namespace, entry.Name.Name}] = judged{findings: entry.Findings, sealed: true, hosts: entry.Hosts}
	}
	policies := map[string]policyState{}
	for name, confirmed := range suspending {
		policies[name] = policyState{suspends: true, confirmed: confirmed}
	}
	next, held, _ = plan(found, last, policies, freeOf(sealed, maxShare))
	return next, held
}
