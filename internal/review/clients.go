package review

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// exportTo is that of the object as it will be stored: sidecars go by it, whatever the author wrote.
func (s *subject) exportTo() []string {
	return egress.ExportTo(s.Object)
}

// export adds the clients of an entry to its facts.
func (s *subject) export(facts *egress.Facts, refusals hop.Refusals) {
	exportTo := s.exportTo()
	if len(refusals) > 0 {
		// It is not stored so, and reaches nobody else yet.
		exportTo = []string{"."}
	}
	accounts, _ := hop.Accounts(s.Object)
	facts.Export(exportTo, s.Namespace.Name, accounts, s.View)
}

// forClient says of a sentence for which client it is said, where that is not the object's own namespace: its author knows
// nothing of that namespace's policies.
func forClient(message string, client policy.Client, exported string) string {
	if client.Name == "" {
		return message
	}
	// What the policy says of the client by name is not said twice.
	if name := strconv.Quote(client.Name); !strings.HasSuffix(message, "namespace "+name) {
		message = strings.TrimSuffix(message, ".") + ", for namespace " + name
	}
	message += ", to which " + exported
	if client.More > 0 {
		message += fmt.Sprintf(" (and %d more)", client.More)
	}
	return message
}

// unexported is the fix of a violation, with the one that is the author's own where it was found for another namespace.
func unexported(v policy.Violation) string {
	const own = `set exportTo: ["."]`
	switch {
	case v.Client.Name == "":
		return v.Fix
	case v.Fix == "":
		return own
	}
	return own + ", or " + v.Fix
}
