// Package charts holds the chart, for whoever says without a cluster what it installs.
package charts

import "embed"

// Folder has the chart in the folder egress-governor.
//
//go:embed all:egress-governor
var Folder embed.FS
