package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/trace"
)

// world is a cluster as calls are led in it.
type world struct {
	*trace.Cluster
	mesh    *egress.Mesh
	objects []*unstructured.Unstructured
	session *dryrun.Session
	// meshConfig names Istio's ConfigMap, empty where it is known.
	meshConfig string
}

// world returns the cluster of files, or of a kubeconfig, once the manifests are applied. One that is there is taken as it is where
// none are: what its controllers have not done yet is not done. Manifests that the webhook would refuse are told of, and left out.
func (i *inputs) world(cmd *cobra.Command, namespaces ...string) (*world, error) {
	if len(i.files)+len(i.stored) == 0 && !i.isLive() {
		return nil, errors.New("there is no cluster to look at: name one by --kubeconfig or --context, files of one by --cluster, or manifests by --filename")
	}
	out := &world{}
	var err error
	if len(i.files) == 0 {
		out.session, err = i.session(cmd.Context(), cmd.InOrStdin())
	} else {
		var answers []dryrun.Answer
		out.session, answers, err = i.apply(cmd)
		for _, answer := range answers {
			if !answer.Allowed() {
				fmt.Fprintf(cmd.ErrOrStderr(), "Not applied: %s: %s is %s\n", manifest.Place(answer.File, answer.Line), manifest.Name(answer.Unstructured), answer.Verdict)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	var configuration *config.Configuration
	configuration, out.mesh = out.session.Configuration()
	if len(i.files) == 0 && i.isLive() {
		for _, object := range i.sources {
			out.objects = append(out.objects, object.Unstructured)
		}
	} else if out.objects, err = out.session.Held(i.sources, namespaces...); err != nil {
		return nil, err
	}
	text, known := meshConfig(configuration, i.sources)
	if !known {
		out.meshConfig = configuration.MeshConfig.Key().String()
	}
	var settings trace.Settings
	if settings.RegistryOnly, err = controller.RegistryOnly(text); err != nil {
		return nil, err
	}
	if settings.DNSCapture, err = captures(configuration, i.sources); err != nil {
		return nil, err
	}
	out.Cluster, err = trace.New(out.mesh, settings, out.objects)
	return out, err
}
