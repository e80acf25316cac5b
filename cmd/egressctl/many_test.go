package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// BenchmarkReview measures a review of 1,000 files, each an entry and its routes.
func BenchmarkReview(b *testing.B) {
	folder := b.TempDir()
	for i := range 1000 {
		text := fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: host-%[1]d, namespace: app-%[2]d}
spec: {hosts: [host-%[1]d.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: host-%[1]d, namespace: app-%[2]d}
spec: {hosts: [host-%[1]d.example.com], exportTo: ["."], http: [{timeout: 3s, route: [{destination: {host: host-%[1]d.example.com, port: {number: 80}}}]}]}
`, i, i%50)
		require.NoError(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%04d.yaml", i)), []byte(text), 0o600))
	}
	for b.Loop() {
		var out, errs bytes.Buffer
		require.Equal(b, clean, execute(b.Context(), []string{"egressctl", "review", "-q", "-f", folder}, nil, &out, &errs), errs.String())
		assert.Equal(b, "2000 objects: 2000 allowed\n", out.String())
	}
}
