package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestWhatAnEntryHasWritten: two objects and a status for a new host, a status for a further entry of it, and for what an author changes, and
// nothing for one that is applied again as it is.
func TestWhatAnEntryHasWritten(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	host := ns + ".writes.test"
	apply := func(name, host string) {
		of := entry(t, "v1", ns, name, `{hosts: [`+host+`], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
		require.NoError(t, shared.Client.Patch(t.Context(), of.DeepCopy(), client.Apply, client.FieldOwner("test"), client.ForceOwnership)) //nolint:staticcheck // as a GitOps controller applies
		eventually(t, func() bool { return ready(get(t, of), "True") }, "ExitReady of "+name)
	}
	// written returns what was written for the host once another that came later has its exit.
	later := 0
	written := func() []string {
		later++
		apply(fmt.Sprintf("later-%d", later), fmt.Sprintf("later-%d-%s", later, host))
		return audited(t, func(namespace, name string) bool {
			return namespace == ns && !strings.HasPrefix(name, "later-") || strings.HasPrefix(name, ns+"-writes-test-")
		})
	}
	wrote := []string{"create serviceentries", "create virtualservices", "patch serviceentries/status"}
	apply("first", host)
	assert.Equal(t, wrote, written(), "a new host")
	wrote = append(wrote, "patch serviceentries/status")
	apply("second", host)
	assert.Equal(t, wrote, written(), "a further entry of it")
	for range 3 {
		apply("first", host)
		apply("second", host)
	}
	assert.Equal(t, wrote, written(), "both are applied again")
	apply("first", host+", "+host+".more")
	assert.Equal(t, append(wrote, "create serviceentries", "create virtualservices", "patch serviceentries/status"), written(), "a host more")
}

// audited returns what the webhook wrote of objects, in order.
func audited(t *testing.T, of func(namespace, name string) bool) (out []string) {
	t.Helper()
	file, err := os.Open(shared.AuditLog)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb      string
			ObjectRef struct{ Namespace, Name, Resource, Subresource string }
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		what := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			what += "/" + event.ObjectRef.Subresource
		}
		if of(event.ObjectRef.Namespace, event.ObjectRef.Name) {
			out = append(out, event.Verb+" "+what)
		}
	}
	require.NoError(t, lines.Err())
	return out
}
