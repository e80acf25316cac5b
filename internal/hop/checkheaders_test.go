package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestHeaderValuesThatEnvoyRejects stop every proxy that imports the route; those that it takes stay.
func TestHeaderValuesThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for value, good := range map[string]bool{
		"plain": true, "100%%": true, "%REQ(x-request-id)%": true, "%START_TIME(%s)%": false, "a %DOWNSTREAM_REMOTE_ADDRESS% b %HOSTNAME%": true,
		"%REQ(x):10%": true, "%NOT_A_COMMAND%": false, "50%": false, "%": false, "%REQ(x)": false, "%req(x)%": false,
		`a\r\nx-c: d`: false, `a\nb`: false, `a\0b`: false, `a\tb`: true,
	} {
		in := route(t, `{hosts: [a.test], http: [{headers: {response: {add: {x-a: "`+value+`"}}}, route: [{destination: {host: local}, headers: {request: {set: {x-b: "`+value+`"}}}}]},
			{headers: {request: {set: {x-c: "`+value+`"}}}, redirect: {uri: /}}]}`)
		var fields []string
		for _, refusal := range hop.CheckHeaders(in) {
			fields = append(fields, refusal.Field)
		}
		want := "spec.http[0].headers.response.add[x-a], spec.http[0].route[0].headers.request.set[x-b], spec.http[1].headers.request.set[x-c]"
		if good {
			want = ""
		}
		assert.Equal(t, want, strings.Join(fields, ", "), value)
	}
	assert.Empty(t, hop.CheckHeaders(route(t, `{hosts: [a.test], tcp: [{route: [{destination: {host: local}}]}]}`)))
}
