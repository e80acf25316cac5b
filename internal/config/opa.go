package config

import "encoding/json"

// OPA is what of OPA's own configuration counts here, in its words; its plugins read what is within.
type OPA struct {
	// Services are servers by name: url, type (oci for a registry), credentials, tls.
	Services map[string]json.RawMessage `json:"services,omitempty"`
	// Keys are those by which bundles are verified, by their ids.
	Keys map[string]json.RawMessage `json:"keys,omitempty"`
	// Bundles are those that are fetched, by the names under which EgressPolicies know them: service, resource, polling, signing.
	Bundles map[string]json.RawMessage `json:"bundles,omitempty"`
	// DecisionLogs says where decisions are logged: service, console, or plugin.
	DecisionLogs json.RawMessage `json:"decision_logs,omitempty"`
	// Plugins has file_logger.
	Plugins map[string]json.RawMessage `json:"plugins,omitempty"`
	// Labels are those of each logged decision.
	Labels map[string]string `json:"labels,omitempty"`
	// Mask is Rego of package system.log, which says what is left out of logged decisions.
	Mask string `json:"mask,omitempty"`
}

// Words returns it as OPA's plugins read it, nil where nothing is said.
func (o OPA) Words() ([]byte, error) {
	if len(o.Bundles) == 0 && o.DecisionLogs == nil {
		return nil, nil
	}
	return json.Marshal(o)
}
