// Package proof reads routing cases: manifests as users write them, and the calls that must end at the egress gateway, be
// blocked, or be refused. It has every object decided on by the product's own code, and says what is then stored.
package proof

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// File is the name of the file that makes a folder a case.
const File = "case.yaml"

// Case is one folder.
type Case struct {
	// Title is what the case shows, in a line.
	Title string `json:"title"`
	// Hostile says that the manifests are those of a tenant who means harm.
	Hostile bool `json:"hostile,omitempty"`
	// Packets says that make e2e makes the calls on a real mesh, too. Such a case may bring gateways and settings of its own, and no
	// mesh configuration, nor labels of namespaces or pods beside those that choose a gateway.
	Packets bool `json:"packets,omitempty"`
	// Transports are those of the gateway by which the case is tried, both by default.
	Transports []string `json:"transports,omitempty"`
	// Configuration is laid over the configuration of the webhook, field by field. With gateways of its own the case is tried
	// once, as it configures them.
	Configuration map[string]any `json:"configuration,omitempty"`
	// Gateway is laid over the one gateway of that configuration.
	Gateway map[string]any `json:"gateway,omitempty"`
	// Mesh is laid over Istio's mesh configuration, whose outboundTrafficPolicy is REGISTRY_ONLY here.
	Mesh map[string]any `json:"mesh,omitempty"`
	// Before names the files whose objects were stored before the webhook was there.
	Before []string `json:"before,omitempty"`
	// Deleted are objects that are deleted at the end, as Kind/namespace/name.
	Deleted []string `json:"deleted,omitempty"`
	// Refused are the objects that must not be stored; every other must be.
	Refused []Refusal `json:"refused,omitempty"`
	// Warned are objects that are stored, and whose authors must be told something.
	Warned []Warning `json:"warned,omitempty"`
	// Calls must end as they say.
	Calls []Call `json:"calls,omitempty"`

	// Family and Name are those of the folder.
	Family string `json:"-"`
	Name   string `json:"-"`
	folder string
}

// Refusal is an object that must not be stored, and what the answer says.
type Refusal struct {
	// Object is it, as Kind/namespace/name.
	Object string `json:"object"`
	// Code is that of a reason.
	Code string `json:"code"`
	// Field is the field that this reason names, any where it is empty.
	Field string `json:"field,omitempty"`
	// Transports are those by which it is refused, all of the case by default.
	Transports []string `json:"transports,omitempty"`
}

// Warning is what the author of an object must be told.
type Warning struct {
	// Object is it, as Kind/namespace/name.
	Object string `json:"object"`
	// Says is a part of one sentence of the answer.
	Says string `json:"says"`
	// Transports are those by which it is told, all of the case by default.
	Transports []string `json:"transports,omitempty"`
}

// Ends is how a call ends.
type Ends string

// The ends of calls.
const (
	// AtGateway: whatever becomes of it, it comes to the egress gateway and is led on from there.
	AtGateway Ends = "Gateway"
	// Blocked: it leads nowhere, at the client or at the gateway.
	Blocked Ends = "Blocked"
	// InMesh: it stays in the mesh.
	InMesh Ends = "Mesh"
	// Straight: it leaves past the gateway. Cases that say so show what is not held.
	Straight Ends = "Straight"
)

// Call is one that a workload makes.
type Call struct {
	// From is the caller's namespace, or namespace/serviceaccount.
	From string `json:"from"`
	// To is a URL of scheme http, grpc, https, tls or tcp.
	To string `json:"to"`
	// Labels are those of the caller's pod.
	Labels map[string]string `json:"labels,omitempty"`
	// Address is the one that the app dials, any where it is empty.
	Address string `json:"address,omitempty"`
	// Ingress are the labels of an ingress gateway's pods in the caller's namespace: the call comes to them from outside, and
	// they are who calls on.
	Ingress map[string]string `json:"ingress,omitempty"`
	// Dials is Gateway where the caller goes past its sidecar to the egress gateway itself.
	Dials string `json:"dials,omitempty"`
	// Ends says how it must end.
	Ends Ends `json:"ends"`
	// Gateway names the egress gateway by which it must leave, that of its namespace by default.
	Gateway string `json:"gateway,omitempty"`
	// Exit holds what the gateway must lead it to, as host:port; its own host and port by default.
	Exit []string `json:"exit,omitempty"`
	// Beside holds what a share of the calls may be led to besides: Services as host:port, and OwnProxy.
	Beside []string `json:"beside,omitempty"`
	// Encrypted says that the gateway must speak TLS to the host by itself.
	Encrypted bool `json:"encrypted,omitempty"`
	// Transports are those by which it is tried, all of the case by default.
	Transports []string `json:"transports,omitempty"`
}

// OwnProxy stands, in Beside, for calls that the client's own proxy answers: by a redirect, or by a response of its routes.
const OwnProxy = "proxy"

// Load reads every case below a folder, in the order of the folders' names. The error names the file.
func Load(root string) (out []*Case, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != File {
			return err
		}
		loaded, err := load(filepath.Dir(path))
		out = append(out, loaded)
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: no folder below has a %s", root, File)
	}
	return out, err
}

func load(folder string) (*Case, error) {
	out := &Case{folder: folder, Name: filepath.Base(folder), Family: filepath.Base(filepath.Dir(folder))}
	path := filepath.Join(folder, File)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := sigsyaml.UnmarshalStrict(raw, out); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := out.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func (c *Case) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Title == "" || strings.Contains(c.Title, "\n") {
		add("title: must say in a line what the case shows")
	}
	if len(c.Refused)+len(c.Warned)+len(c.Calls) == 0 {
		add("calls: there is none, and nothing is refused or warned of, so the case could not fail")
	}
	for _, transport := range c.Transports {
		if !slices.Contains(egress.Transports(), egress.Transport(transport)) {
			add("transports: %q is none, only %v are", transport, egress.Transports())
		}
	}
	for _, file := range c.Before {
		if _, err := os.Stat(filepath.Join(c.folder, file)); err != nil {
			add("before: %q is no file of the folder", file)
		}
	}
	for i, refused := range c.Refused {
		if len(strings.Split(refused.Object, "/")) != 3 {
			add("refused[%d].object: %q is not of the form Kind/namespace/name", i, refused.Object)
		}
		if refused.Code == "" {
			add("refused[%d].code: must say which reason", i)
		}
	}
	for i, warned := range c.Warned {
		if len(strings.Split(warned.Object, "/")) != 3 || warned.Says == "" {
			add("warned[%d]: must have an object of the form Kind/namespace/name, and what the answer says", i)
		}
	}
	for i, call := range c.Calls {
		if _, err := call.target(); err != nil {
			add("calls[%d].to: %w", i, err)
		}
		if call.From == "" {
			add("calls[%d].from: must name a namespace", i)
		}
		if !slices.Contains([]Ends{AtGateway, Blocked, InMesh, Straight}, call.Ends) {
			add("calls[%d].ends: must be %s, %s, %s or %s, is %q", i, AtGateway, Blocked, InMesh, Straight, call.Ends)
		}
		if call.Dials != "" && call.Dials != string(AtGateway) {
			add("calls[%d].dials: must be %s, is %q", i, AtGateway, call.Dials)
		}
		if call.Dials != "" && call.Ingress != nil {
			add("calls[%d].ingress: is none that goes past its sidecar", i)
		}
	}
	return errors.Join(errs...)
}

// Objects reads the manifests of the case in their order, those that were there before apart. The error names the file.
func (c *Case) Objects() (before, applied []*unstructured.Unstructured, err error) {
	files, err := filepath.Glob(filepath.Join(c.folder, "*.yaml"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == File {
			continue
		}
		objects, err := decode(file)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		if slices.Contains(c.Before, name) {
			before = append(before, objects...)
		} else {
			applied = append(applied, objects...)
		}
	}
	return before, applied, nil
}

func decode(path string) (out []*unstructured.Unstructured, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for i, document := range strings.Split("\n"+string(raw), "\n---") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() == "" || object.GetName() == "" {
			return nil, fmt.Errorf("document %d: has no kind or no name", i+1)
		}
		out = append(out, object)
	}
	return out, nil
}

// AsInstalled says whether the case takes the configuration as it is, and nothing that was there before the webhook.
func (c *Case) AsInstalled() bool {
	return len(c.Configuration)+len(c.Gateway)+len(c.Mesh)+len(c.Before) == 0
}

// By returns the transports by which the case is tried; one that is empty for a case that configures its gateways.
func (c *Case) By() []string {
	switch {
	case c.Configuration["gateways"] != nil:
		return []string{""}
	case len(c.Transports) > 0:
		return c.Transports
	}
	return []string{"Plain", "MutualTLS"}
}

// Concerns says whether something with these transports is tried by one.
func Concerns(transports []string, by string) bool {
	return len(transports) == 0 || slices.Contains(transports, by)
}
