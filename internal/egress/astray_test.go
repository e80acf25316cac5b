package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func TestRoutesThatAskForAnotherHost(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                             nil,
		`{hosts: [a.test], http: [{route: [{destination: {host: a.test}}], mirrors: [{destination: {host: b.test}}]}]}`:                                   {"b.test"},
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                                     {"b.test"},
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}, headers: {request: {set: {host: b.test}}}}]}]}`:                          nil,
		`{hosts: [a.test, c.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test}}]}]}`:                                       nil,
		`{hosts: [a.test, c.test], gateways: [ingress], http: [{route: [{destination: {host: b.test}}]}]}`:                                                nil,
		`{http: [{route: [{destination: {host: b.test}}]}]}`:                                                                                              {"b.test"},
		`{hosts: [a.test], gateways: [mesh, ingress], http: [{route: [{destination: {host: b.test}}]}]}`:                                                  {"b.test"},
		`{hosts: [a.test], http: [{route: [{destination: {host: "*.b.test"}}]}]}`:                                                                         {"*.b.test"},
		`{http: [{route: [{destination: {host: local}}]}]}`:                                                                                               nil,
		`{hosts: [x.wild.test], http: [{route: [{destination: {host: "*.wild.test"}}]}]}`:                                                                 nil,
		`{hosts: [a.test, c.test], http: [{route: [{destination: {host: b.test}, headers: {request: {set: {host: a.at.b.egress-governor.internal}}}}]}]}`: nil,
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: app}\nspec: "+spec), &object.Object))
		assert.Equal(t, want, egress.Astray(object, mesh()), spec)
	}
}
