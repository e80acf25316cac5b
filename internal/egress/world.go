package egress

// World is what the rest of the cluster says about a host. Answers come from a cache and may lag.
type World interface {
	// Entries returns every ServiceEntry that names exactly this canonical host, oldest first.
	Entries(host string) []*Entry
	// IsService says whether a canonical host is the FQDN of a Service of the cluster.
	IsService(host string) bool
	// ServicePortProtocol returns the Istio protocol (upper case, by appProtocol or name prefix) of a Service's port, "" when unknown.
	ServicePortProtocol(host string, port uint32) string
	// HasTrafficPolicy says whether a DestinationRule of the namespace sets a traffic policy for a canonical host.
	HasTrafficPolicy(namespace, host string) bool
}
