// Package codes holds an example for each code that a denial may have: an object that gets it, and the same object mended. The
// pages of docs/codes are made of them.
package codes

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Example is an object that is not allowed, and why.
type Example struct {
	// Code is what it gets, Policy the policy of the library that says so, empty for none: the name of the file.
	Code, Policy string `json:"-"`
	// Means says in words what the code means, and when one meets it.
	Means string `json:"means,omitempty"`
	// Parameters are those of the policy.
	Parameters map[string]any `json:"parameters,omitempty"`
	// Configuration is laid over what the chart installs without values, Gateway over its one gateway.
	Configuration map[string]any `json:"configuration,omitempty"`
	Gateway       map[string]any `json:"gateway,omitempty"`
	// Before are manifests of what is there already.
	Before string `json:"before,omitempty"`
	// Manifest is not allowed; Mended is.
	Manifest string `json:"manifest"`
	Mended   string `json:"mended,omitempty"`
	// Many stands for a list that is too long to be read: MANY in the manifest.
	Many *Many `json:"many,omitempty"`
	// Patch is what another mutating webhook lays over the object in its stored form; without it the manifest is allowed.
	Patch map[string]any `json:"patch,omitempty"`
	// Audited: it is stored already, and the audit says so.
	Audited bool `json:"audited,omitempty"`
	// Further are other circumstances in which one gets the code, and another way out of them. What they leave out of the first they
	// have from it.
	Further []*Example `json:"further,omitempty"`
	// When says in which circumstance that is, and Fix which words of the answer Mended follows.
	When string `json:"when,omitempty"`
	Fix  string `json:"fix,omitempty"`
	// Asked is laid over the gateway where Mended is applied: what the platform team was asked for.
	Asked map[string]any `json:"asked,omitempty"`
	// Calls leave by the egress gateway once Mended is applied: NAMESPACE URL, as egressctl trace has them.
	Calls []string `json:"calls,omitempty"`
}

// Many is a list of texts that differ in a number.
type Many struct {
	Each  string `json:"each"`
	Count int    `json:"count"`
}

const many = "MANY"

// whole returns a manifest with all of its list.
func (m *Many) whole(manifest string) string {
	if m == nil {
		return manifest
	}
	items := make([]string, m.Count)
	for i := range items {
		items[i] = m.item(i)
	}
	return strings.ReplaceAll(manifest, many, strings.Join(items, ", "))
}

// shown returns a manifest with the beginning of its list.
func (m *Many) shown(manifest string) string {
	if m == nil {
		return manifest
	}
	return strings.ReplaceAll(manifest, many, fmt.Sprintf("%s, %s, …", m.item(0), m.item(1)))
}

func (m *Many) item(i int) string { return strings.ReplaceAll(m.Each, "N", fmt.Sprint(i+1)) }

// Load reads the examples of a folder, by their codes. The error names the file.
func Load(folder string) (out []*Example, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		example := &Example{}
		if err := yaml.UnmarshalStrict(raw, example); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		var of bool
		if example.Policy, example.Code, of = strings.Cut(name, "."); !of {
			example.Policy, example.Code = "", name
		}
		for _, further := range example.Further {
			further.of(example)
		}
		out = append(out, example)
	}
	slices.SortFunc(out, func(a, b *Example) int {
		return strings.Compare(a.Code+"."+a.Policy, b.Code+"."+b.Policy)
	})
	return out, nil
}

// of has a further circumstance take from the first example what it leaves out.
func (e *Example) of(first *Example) {
	e.Code, e.Policy = first.Code, first.Policy
	e.Before, e.Manifest = cmp.Or(e.Before, first.Before), cmp.Or(e.Manifest, first.Manifest)
}

// Whole returns the manifest that is not allowed, with all of its list.
func (e *Example) Whole() string { return e.Many.whole(e.Manifest) }

// name is that of the file.
func (e *Example) name() string { return strings.TrimPrefix(e.Policy+"."+e.Code, ".") }

// configuration is the webhook's, with what is laid over its gateway. A policy is shown by itself, without the baseline beside it.
func (e *Example) configuration(gateways ...map[string]any) (*config.Configuration, error) {
	installed, err := config.Installed()
	if err != nil {
		return nil, err
	}
	raw, err := yaml.Marshal(installed)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := yaml.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	fields["docsURL"] = "" // here the page is
	gateway := fields["gateways"].([]any)[0].(map[string]any)
	for _, over := range append([]map[string]any{e.Gateway}, gateways...) {
		maps.Copy(gateway, over)
	}
	if e.Policy != "" {
		fields["baseline"] = map[string]any{"enforcement": "Off"}
	}
	maps.Copy(fields, e.Configuration)
	if raw, err = yaml.Marshal(fields); err != nil {
		return nil, err
	}
	return config.Parse(raw)
}

// inForce is the manifest of the policy, empty for a refusal, which no policy makes.
func (e *Example) inForce() (string, error) {
	if e.Policy == "" {
		return "", nil
	}
	spec := map[string]any{"policy": e.Policy}
	if e.Parameters != nil {
		spec["parameters"] = e.Parameters
	}
	raw, err := yaml.Marshal(spec)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata:\n  name: %s\nspec:\n  %s\n",
		e.Policy, strings.ReplaceAll(strings.TrimSpace(string(raw)), "\n", "\n  ")), nil
}

// Library returns what the policies of the library say of themselves, by name.
func Library(engine *policy.Engine) (map[string]policy.Description, error) {
	described, err := engine.Describe()
	out := map[string]policy.Description{}
	for _, of := range described {
		out[of.Name] = of
	}
	return out, err
}
