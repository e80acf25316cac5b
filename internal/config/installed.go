package config

import _ "embed" // installed.yaml

//go:embed installed.yaml
var installed []byte

// Installed returns the configuration that the chart writes without values: that of a cluster of which nothing else is said.
func Installed() (*Configuration, error) { return Parse(installed) }
