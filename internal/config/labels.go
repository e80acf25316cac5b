package config

// Labels of namespaces, by which the chart has them governed.
const (
	// ModeLabel is that by which a namespace has another mode than the release: Enforce or Observe.
	ModeLabel = "egress-governor.io/mode"
	// ExemptLabel takes a namespace out where it is true.
	ExemptLabel = "egress-governor.io/exempt"
)
