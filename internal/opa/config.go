package opa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/logger/file"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"github.com/open-policy-agent/opa/v1/plugins/rest"
	"k8s.io/apimachinery/pkg/util/validation"
)

// maxFile is how many bytes a file of a bundle may have where nothing else is said.
const maxFile = 16 << 20

// words are those of OPA's configuration that count here, to hold a configuration to them: OPA leaves out what it does not know.
type words struct {
	Services     map[string]*rest.Config   `json:"services,omitempty"`
	Keys         map[string]*keys.Config   `json:"keys,omitempty"`
	Bundles      map[string]*bundle.Source `json:"bundles,omitempty"`
	DecisionLogs *logs.Config              `json:"decision_logs,omitempty"`
	Plugins      struct {
		FileLogger *file.Config `json:"file_logger,omitempty"`
	} `json:"plugins"`
	Labels map[string]string `json:"labels,omitempty"`
	// Mask is ours: Rego of package system.log.
	Mask string `json:"mask,omitempty"`
}

// read reads a configuration, and names what is no word of it and what does not do here.
func read(raw []byte) (*words, error) {
	out := &words{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for name, of := range out.Services {
		if of == nil {
			add("services.%s: is empty", name)
		}
	}
	for name, of := range out.Keys {
		if of == nil {
			add("keys.%s: is empty", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(out.Bundles)) {
		of := out.Bundles[name]
		switch {
		case len(validation.IsDNS1123Label(name)) > 0:
			add("bundles.%s: is no name of a bundle, which is a DNS label: EgressPolicies say <bundle>/<policy>", name)
		case of == nil || of.Service == "" || of.Resource == "":
			add("bundles.%s: names a service and a resource", name)
		case out.Services[of.Service] == nil:
			add("bundles.%s.service: there is no service %q", name, of.Service)
		case of.Persist:
			add("bundles.%s.persist: must be left out: the pods of the webhook have no disk", name)
		case of.Trigger != nil && *of.Trigger != plugins.TriggerPeriodic:
			add("bundles.%s.trigger: must be periodic", name)
		case of.Signing == nil && len(out.Keys) > 0:
			add("bundles.%s.signing: is missing: OPA would take a bundle without a signature, though there are keys", name)
		}
	}
	if of := out.DecisionLogs; of != nil && of.Service == "" && of.Plugin == nil && !of.ConsoleLogs {
		add("decision_logs: names a service, the plugin file_logger, or console: true")
	}
	if of := out.DecisionLogs; of != nil && of.Plugin != nil && out.Plugins.FileLogger == nil {
		add("decision_logs.plugin: must be file_logger, with its path in plugins.file_logger")
	}
	return out, errors.Join(errs...)
}
