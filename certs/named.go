package certs

import (
	"net/http"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// named is a manager for a rotator that lists all Secrets of a namespace, where it has to do with one: its requests name
// it, so that rights to no other are needed. Helm keeps its releases there.
type named struct {
	manager.Manager
	config *rest.Config
}

// GetConfig implements manager.Manager.
func (n named) GetConfig() *rest.Config { return n.config }

func naming(mgr manager.Manager, secret types.NamespacedName) manager.Manager {
	config := rest.CopyConfig(mgr.GetConfig())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return secretNamer{next, secret} })
	return named{mgr, config}
}

// secretNamer names a Secret in requests for all of its namespace.
type secretNamer struct {
	next   http.RoundTripper
	secret types.NamespacedName
}

// RoundTrip implements http.RoundTripper.
func (s secretNamer) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet && request.URL.Path == "/api/v1/namespaces/"+s.secret.Namespace+"/secrets" {
		request = request.Clone(request.Context())
		query := request.URL.Query()
		query.Set("fieldSelector", fields.OneTermEqualSelector("metadata.name", s.secret.Name).String())
		request.URL.RawQuery = query.Encode()
	}
	return s.next.RoundTrip(request)
}
