package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/suite"
)

// interval is how often files are looked at.
const interval = 300 * time.Millisecond

// watch runs all suites whenever a file that they may read changes, until it is interrupted.
func (t *tests) watch(cmd *cobra.Command, paths []string, pattern *regexp.Regexp) error {
	for last := ""; ; {
		now := state(paths)
		if now != last {
			last = now
			if err := t.once(cmd, paths, pattern); err != nil && !errors.Is(err, errViolations) {
				fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nError: "))
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Waiting for a file to change.")
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(interval):
		}
	}
}

// state is one text for the times and sizes of all files in folders, and of those that suites name elsewhere.
func state(paths []string) string {
	files, _ := suite.Find(paths) // what is wrong is told by the run
	all := append([]string{}, paths...)
	for _, file := range files {
		if one, err := suite.Read(file); err == nil {
			all = append(all, one.Reads()...)
		}
	}
	var out strings.Builder
	for _, path := range all {
		_ = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil
			}
			if info, err := entry.Info(); err == nil {
				fmt.Fprintln(&out, file, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
	}
	return out.String()
}
