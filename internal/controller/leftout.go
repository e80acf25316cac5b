package controller

import (
	"fmt"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// leftOut says of the first host of an entry which settings of its namespace's rule its gateway does not call it by, empty for nothing. Who
// came later, or wrote another rule, was told himself; he who wrote his before is told here.
func (e *ExitReady) leftOut(gw egress.Gateway, entry *egress.Entry) string {
	if entry.Observed {
		return ""
	}
	for _, host := range entry.Hosts {
		rule := e.entries.Rule(entry.Namespace, host)
		if settings := e.entries.Exit(host, gw.Namespace()).LeftOut(rule, entry.Ports); len(settings) > 0 {
			return fmt.Sprintf(", and does not call %s by %s of DestinationRule %s/%s, which not all namespaces with an entry of the host write alike",
				host, strings.Join(settings, " and "), rule.Namespace, rule.Name)
		}
	}
	return ""
}
