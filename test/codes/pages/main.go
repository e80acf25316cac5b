// Pages writes the pages of docs/codes.
//
//	pages EXAMPLES FOLDER
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/egress-governor/egress-governor/test/codes"
)

func main() {
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(examples, folder string) error {
	read, err := codes.Load(examples)
	if err != nil {
		return err
	}
	pages, err := codes.Pages(context.Background(), read)
	if err != nil {
		return err
	}
	// A page whose code is gone goes with it.
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(page), 0o600); err != nil {
			return err
		}
	}
	return nil
}
