package main

import (
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// bindGuards makes it a flag of a command whether guards are asked.
func (i *inputs) bindGuards(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&i.guarded, "guards", true, "ask guards, too: those of the cluster, or what the chart installs")
}

// server returns what the API server itself answers beside a webhook of a configuration. Definitions of kinds among what is stored are
// the session's to put.
func (i *inputs) server(configuration *config.Configuration, stored []manifest.Object) (*apiserver.Server, error) {
	if !i.guarded {
		return apiserver.New(), nil
	}
	var guards []*unstructured.Unstructured
	for _, object := range stored {
		if apiserver.Guards(object.Unstructured) && object.GetLabels()["app.kubernetes.io/name"] == chartName {
			guards = append(guards, object.Unstructured)
		}
	}
	if len(guards) == 0 && !i.unguarded {
		var err error
		if guards, err = chart.Guards(configuration, release(stored)); err != nil {
			return nil, err
		}
	}
	out, err := guardedBy(guards)
	if err == nil && i.rights != nil {
		out.SetRights(i.rights)
	}
	return out, err
}

func guardedBy(guards []*unstructured.Unstructured) (*apiserver.Server, error) {
	out := apiserver.New()
	for _, object := range guards {
		if err := out.Put(object); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// guarded returns an API server with the guards that the chart installs beside a webhook of a configuration.
func guarded(configuration *config.Configuration) (*apiserver.Server, error) {
	guards, err := chart.Guards(configuration, "")
	if err != nil {
		return nil, err
	}
	return guardedBy(guards)
}
