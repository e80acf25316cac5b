package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/egress-governor/egress-governor/internal/emergency"
)

// target is the cluster that a command works in: that of kubectl's current context, where no other is named.
type target struct{ kubeconfig, context string }

func (t *target) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.kubeconfig, "kubeconfig", "", "file that names the cluster (default: as kubectl)")
	cmd.Flags().StringVar(&t.context, "context", "", "context that names the cluster (default: the current one)")
}

func (t *target) rest() (*rest.Config, error) {
	return (&inputs{kubeconfig: t.kubeconfig, context: t.context}).rest()
}

// switching takes admission out of the way, or puts it back.
type switching struct {
	target
	dryRun bool
	reason string
	client dynamic.Interface
}

func stopCommand() *cobra.Command {
	var s switching
	out := &cobra.Command{
		Use: "stop", Short: "Emergency stop: have the API server ask neither the webhook nor the guards", Args: noArguments,
		Long: `Has the API server ask neither the webhook nor the guards about anything, whether the webhook runs, hangs or is gone: whoever may write an
object stores it as he writes it. Exits stay, and what is sealed goes on leaving by its gateway.

It gives the webhook configurations and the guards one match condition more, which helm upgrade and GitOps tools leave alone, and it takes
the rights of a cluster administrator. Only egressctl start takes it away. As long as it is there, egressctl check, the metric
egress_governor_problem{code="admission-stopped"} and an Event of the webhook's Service say so.`,
		Example: `  # In the cluster of kubectl's current context: egressctl stop --reason "INC-4711: deployments hang"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.reason == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "Note: no reason is given for whoever looks; run this again with --reason to add one.")
			}
			return s.run(cmd, "Stopped", emergency.Stop, `
Admission is stopped in cluster %s: objects are stored as they are written. Exits go on.
Undo it by egressctl start; what was stored meanwhile, egressctl check and the audit will name.
`)
		},
	}
	s.bind(out)
	out.Flags().StringVar(&s.reason, "reason", "", "why, for whoever looks; added where admission is stopped already")
	out.Flags().BoolVar(&s.dryRun, "dry-run", false, "say what would be stopped, and stop nothing")
	return out
}

func startCommand() *cobra.Command {
	var s switching
	out := &cobra.Command{
		Use: "start", Short: "Undo egressctl stop", Args: noArguments,
		Long:    `Takes away what egressctl stop has given the webhook configurations and the guards, and nothing else.`,
		Example: `  # In the cluster of kubectl's current context: egressctl start`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd, "Started", func(object *unstructured.Unstructured, _ emergency.Note) bool { return emergency.Start(object) }, `
Admission is as before in cluster %s. See what was stored meanwhile: egressctl check
`)
		},
	}
	s.bind(out)
	out.Flags().BoolVar(&s.dryRun, "dry-run", false, "say what would be started, and start nothing")
	return out
}

// run switches everything that it can, and names what it could not.
func (s *switching) run(cmd *cobra.Command, done string, change func(object *unstructured.Unstructured, note emergency.Note) bool, end string) error {
	config, err := s.rest()
	if err != nil {
		return err
	}
	if s.client, err = dynamic.NewForConfig(config); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return s.all(cmd, config.Host, done, change, end)
}

func (s *switching) all(cmd *cobra.Command, host, done string, change func(object *unstructured.Unstructured, note emergency.Note) bool, end string) error {
	objects, err := s.find(cmd.Context())
	errs := []error{err}
	if len(objects) == 0 {
		return errors.Join(append(errs, fmt.Errorf("cluster %s has no egress-governor", host))...)
	}
	note := emergency.Note{Since: s.since(cmd.Context()), Reason: s.reason}
	changed := 0
	for _, object := range objects {
		did, err := s.one(cmd.Context(), object, func(of *unstructured.Unstructured) bool { return change(of, note) })
		name := object.GetKind() + " " + object.GetName()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s is as it was: %w", name, err))
		case !did:
			fmt.Fprintf(cmd.OutOrStdout(), "Unchanged: %s\n", name)
		default:
			changed++
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", done, name)
		}
	}
	if s.dryRun {
		fmt.Fprintln(cmd.OutOrStdout(), "\nNothing was written (--dry-run).")
		return errors.Join(errs...)
	}
	if changed > 0 {
		if err := s.tell(cmd.Context(), objects, done, note.String()); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: no Event was written: %s\n", err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), end, host)
	return nil
}

// admission are the resources of emergency.Kinds.
var admission = []schema.GroupVersionResource{
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
}

// ofRelease selects what the chart has made.
const ofRelease = "app.kubernetes.io/name=" + chartName

// find returns what is to be switched, and with an error what was found all the same.
func (s *switching) find(ctx context.Context) (out []unstructured.Unstructured, err error) {
	for _, resource := range admission {
		found, unread := s.client.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: ofRelease})
		switch {
		case apierrors.IsNotFound(unread): // a Kubernetes without guards
		case unread != nil:
			err = errors.Join(err, fmt.Errorf("%s are as they were: %w", resource.Resource, unread))
		default:
			out = append(out, found.Items...)
		}
	}
	return out, err
}

// one changes an object as it is stored by then, and says whether that was another.
func (s *switching) one(ctx context.Context, of unstructured.Unstructured, change func(*unstructured.Unstructured) bool) (did bool, err error) {
	resource := s.client.Resource(admission[kindOf(of)])
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object, err := resource.Get(ctx, of.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if did = change(object); !did {
			return nil
		}
		options := metav1.UpdateOptions{FieldManager: "egressctl-stop"}
		if s.dryRun {
			options.DryRun = []string{metav1.DryRunAll}
		}
		_, err = resource.Update(ctx, object, options)
		return err
	})
	return did, err
}

func kindOf(object unstructured.Unstructured) int {
	for i, kind := range emergency.Kinds() {
		if object.GetKind() == kind {
			return i
		}
	}
	return -1 // none that was listed
}

// since says since when, and by whom.
func (s *switching) since(ctx context.Context) string {
	out := "since " + time.Now().UTC().Format(time.RFC3339)
	asking := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}}
	self, err := s.client.Resource(schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "selfsubjectreviews"}).
		Create(ctx, asking, metav1.CreateOptions{})
	if err == nil {
		if user, _, _ := unstructured.NestedString(self.Object, "status", "userInfo", "username"); user != "" {
			out += " by " + user
		}
	}
	return out
}

// tell writes an Event of the webhook's Service, beside those of preflight.
func (s *switching) tell(ctx context.Context, objects []unstructured.Unstructured, done, why string) error {
	service := map[string]any{}
	for _, object := range objects {
		webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
		for _, item := range webhooks {
			webhook, _ := item.(map[string]any)
			if named, _, _ := unstructured.NestedMap(webhook, "clientConfig", "service"); named != nil {
				service = named
			}
		}
	}
	namespace, _ := service["namespace"].(string)
	if namespace == "" {
		return errors.New("the webhook configurations name no Service")
	}
	kind, note := "Warning", "the API server asks neither the webhook nor the guards"
	if done == "Started" {
		kind, note = "Normal", "the API server asks the webhook and the guards again"
	}
	_, err := s.client.Resource(schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "events.k8s.io/v1", "kind": "Event",
		"metadata":            map[string]any{"generateName": chartName + "-" + strings.ToLower(done) + "-", "namespace": namespace},
		"eventTime":           time.Now().UTC().Format(metav1.RFC3339Micro),
		"reportingController": chartName, "reportingInstance": "egressctl", "action": "EmergencyStop",
		"reason": "Admission" + done, "type": kind, "note": note + ", " + why,
		"regarding": map[string]any{"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": service["name"]},
	}}, metav1.CreateOptions{})
	return err
}
