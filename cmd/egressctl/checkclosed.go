package main

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/hop"
)

var sidecars = schema.GroupResource{Group: "networking.istio.io", Resource: "sidecars"}

// registryOnly says whether the mesh drops what no entry names; what is no YAML is told of, and closes nothing.
func (c *checking) registryOnly() bool {
	text, _ := meshConfig(c.out.Configuration, c.stored)
	closed, _ := controller.RegistryOnly(text)
	return closed
}

// open returns the Sidecars of governed namespaces that let out what no entry names: those that say nothing go by the mesh.
func (c *checking) open() (out []string) {
	closed := c.registryOnly()
	for _, sidecar := range c.out.Objects[sidecars] {
		closes := len(hop.CheckSidecar(sidecar)) == 0 || hop.SidecarMode(sidecar) == "" && closed
		if !closes && c.out.Governed(sidecar.GetNamespace()) {
			out = append(out, sidecar.GetNamespace()+"/"+sidecar.GetName())
		}
	}
	slices.Sort(out)
	return out
}

// unclosed returns the Sidecars of ours that are missing: of governed namespaces in which no other is for all workloads, and which the
// mesh leaves open.
func (c *checking) unclosed() (out []string) {
	if c.out.Unread[sidecars] != nil || c.registryOnly() {
		return nil
	}
	everybodys := []string{c.out.Mesh.IstioNamespace, c.out.MeshIs.RootNamespace}
	for _, namespace := range c.out.Objects[schema.GroupResource{Resource: "namespaces"}] {
		name := namespace.GetName()
		wide := func(of *unstructured.Unstructured) bool { return of.GetNamespace() == name && hop.SidecarIsWide(of) }
		if c.out.Governed(name) && !slices.Contains(everybodys, name) && !slices.ContainsFunc(c.out.Objects[sidecars], wide) {
			out = append(out, "Sidecar "+name+"/"+hop.ClosingName)
		}
	}
	slices.Sort(out)
	return out
}
