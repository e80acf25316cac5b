package checkup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// unreadyFor is how long an exit may take.
const unreadyFor = 5 * time.Minute

// tenants returns the ServiceEntries that have exits, by name: those that are sealed, and not ours.
func (v *view) tenants() (out []*unstructured.Unstructured) {
	for _, entry := range slices.SortedFunc(slices.Values(v.Objects[entries]), byName) {
		if _, sealed := hop.SealedTo(entry, v.Mesh); sealed && entry.GetLabels()[hop.ManagedByLabel] != hop.Manager {
			out = append(out, entry)
		}
	}
	return out
}

func lookAtExits(v *view) {
	tenants := v.tenants()
	v.lookAtExports(tenants)
	for _, entry := range tenants {
		since, why := writtenAt(entry), "nobody says"
		switch told := registry.ToldOf(entry); {
		case told == nil:
		case told.Before(entry.GetGeneration()):
			why = fmt.Sprintf("ExitReady tells of generation %d, and the entry is of generation %d", told.Generation, entry.GetGeneration())
		case told.Status == "True" || told.Reason == registry.ReasonSuspended:
			continue
		default:
			why = told.Reason + ": " + told.Message
			if at, err := time.Parse(time.RFC3339, told.Since); err == nil {
				since = at
			}
		}
		severity, ago := Warning, v.Now.Sub(since).Round(time.Second)
		if ago > unreadyFor {
			severity = Error
		}
		v.find(Finding{
			Code: "exit-not-ready", Severity: severity, Object: title(entry), Message: fmt.Sprintf("its exit has not been ready for %s: %s", ago, firstLine(why)),
			Why: "calls to its hosts fail", Fix: "see what to do for its reason: https://github.com/egress-governor/egress-governor/blob/main/docs/runbooks.md#egressgovernorexitunready",
		})
	}
}

// writtenAt is when an entry was last written, but for its status.
func writtenAt(entry *unstructured.Unstructured) time.Time {
	last := entry.GetCreationTimestamp().Time
	for _, by := range entry.GetManagedFields() {
		if by.Subresource == "" && by.Time != nil && by.Time.After(last) {
			last = by.Time.Time
		}
	}
	return last
}

// lookAtExports says which entries are exported to namespaces that there are not: commonly a name that is misspelt.
func (v *view) lookAtExports(tenants []*unstructured.Unstructured) {
	if err := v.Unread[namespaces]; err != nil {
		v.cannot(err.Error())
		return
	}
	known := v.names()
	for _, entry := range tenants {
		var missing []string
		names, _ := egress.Clients(egress.ExportTo(entry), entry.GetNamespace())
		for _, name := range names {
			if !slices.Contains(known, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			v.find(Finding{
				Code: "export-to-nobody", Severity: Warning, Object: title(entry), Message: "its exportTo names what is no namespace: " + some(missing),
				Why: "whoever was meant does not see the entry, and calls its hosts past the gateway", Fix: "write the namespace's name in exportTo, or take it out",
			})
		}
	}
}

func lookAtSuspended(v *view) {
	for _, entry := range v.tenants() {
		if told := registry.ToldOf(entry); told.Suspended() {
			v.find(Finding{
				Code: "entry-suspended", Severity: Error, Object: title(entry), Message: firstLine("it is suspended: " + told.Message),
				Why: "calls to its hosts fail", Fix: "have its author mend the entry, or the platform team the policy",
			})
		}
	}
}

func lookAtUngoverned(v *view) {
	if v.EntriesUnread != nil {
		v.cannot(v.EntriesUnread.Error())
	}
	for _, name := range slices.Sorted(slices.Values(v.Unsealed)) {
		namespace, _, _ := strings.Cut(name, "/")
		v.find(Finding{
			Code: "unsealed-entry", Severity: Error, Object: "ServiceEntry " + name, Message: "the entry is not sealed: it was stored before the webhook, or past it",
			Why: "calls to its hosts leave directly", Fix: fmt.Sprintf("egressctl adopt -n %s --kubeconfig FILE says what sealing it would do, and does it by --apply; by hand, write it once by kubectl apply --server-side, since plain kubectl apply sends nothing of an unchanged manifest", namespace),
		})
	}
	for _, name := range slices.Sorted(slices.Values(v.Ungoverned)) {
		v.find(Finding{
			Code: "ungoverned-entry", Severity: Error, Object: "ServiceEntry " + name, Message: "governed namespaces see this external entry of one that is not governed",
			Why: "their calls to its hosts leave directly", Fix: `set exportTo: ["."] in it, or move it to a governed namespace`,
		})
	}
}
