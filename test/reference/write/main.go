// Write writes the documents that are made of the source, from the root of the repository:
//
//	write
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/egress-governor/egress-governor/test/reference"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write() error {
	pages, err := reference.Pages(context.Background(), "policies", filepath.Join("test", "codes", "examples"))
	if err != nil {
		return err
	}
	// A page whose code is gone goes with it.
	if err := os.RemoveAll(filepath.Join("docs", "codes")); err != nil {
		return err
	}
	for name, page := range pages {
		file := filepath.Join("docs", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			return err
		}
	}
	return nil
}
