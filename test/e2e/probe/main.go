// Command probe is both ends of the e2e tests: the outside world, which says who called it and keeps a log of every
// connection it ever accepted, and the app in the mesh, which calls when asked to.
package main

import (
	"fmt"
	"os"
)

func main() {
	run := map[string]func() error{"outside": outside, "app": app}
	if len(os.Args) != 2 || run[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: probe outside | app")
		os.Exit(2)
	}
	if err := run[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
