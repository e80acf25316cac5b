package admit

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Paths of the handlers; the chart's webhook configurations name the same.
const (
	MutatePath         = "/mutate"
	ValidatePath       = "/validate"
	ValidatePolicyPath = "/validate-policy"
)

// judgeTimeout bounds the evaluation of all policies for one request. It is below the timeouts of the chart's webhook
// configurations, so that the author reads our reason and not the API server's.
const judgeTimeout = 3 * time.Second

// Judge evaluates policies.
type Judge interface {
	Judge(ctx context.Context, review policy.Review) policy.Decision
}

// Checker compiles a policy without putting it in force. The error is for its author.
type Checker interface {
	Check(policy *v1alpha1.EgressPolicy) error
}

// Options are what the handlers decide with.
type Options struct {
	// Mesh is the operator's configuration.
	Mesh *egress.Mesh
	// World is the rest of the cluster.
	World egress.World
	// Judge and Checker are the policy engine.
	Judge   Judge
	Checker Checker
	// Namespaces reads Namespace objects, Live the same past any cache, for a namespace the cache has not seen yet.
	Namespaces, Live client.Reader
	// Scheme decodes EgressPolicies.
	Scheme *runtime.Scheme
	// Metrics takes the counters; nil for none.
	Metrics prometheus.Registerer
}

// Register serves the handlers on a webhook server.
func Register(server webhook.Server, options Options) error {
	governor, err := New(options)
	if err != nil {
		return err
	}
	server.Register(MutatePath, &webhook.Admission{Handler: admission.HandlerFunc(governor.Mutate)})
	server.Register(ValidatePath, &webhook.Admission{Handler: admission.HandlerFunc(governor.Validate)})
	server.Register(ValidatePolicyPath, &webhook.Admission{Handler: admission.HandlerFunc(governor.ValidatePolicy)})
	return nil
}

// Governor answers admission requests.
type Governor struct {
	Options
	counters counters
	decoder  admission.Decoder
}

// New returns a Governor. The error is that of registering its metrics.
func New(options Options) (*Governor, error) {
	counters, err := newCounters(options.Metrics)
	if err != nil {
		return nil, err
	}
	return &Governor{Options: options, counters: counters, decoder: admission.NewDecoder(options.Scheme)}, nil
}
