package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noteRuns returns whether one of the commands has begun: what goes wrong before that is wrong in the command line.
func noteRuns(cmd *cobra.Command) *bool {
	began := new(bool)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				*began = true
				return run(cmd, args)
			}
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(cmd)
	return began
}

// unknown returns the command of a command line, and an error where it names one that is not there; cobra's own answer to that is,
// for one of a group such as policy, help and no error.
func unknown(root *cobra.Command, args []string) (*cobra.Command, error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	group, rest, _ := root.Find(args)
	if group.Runnable() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || strings.HasPrefix(rest[0], cobra.ShellCompRequestCmd) {
		return group, nil
	}
	text := fmt.Sprintf("unknown command %q for %q", rest[0], group.CommandPath())
	group.SuggestionsMinimumDistance = 2
	if near := group.SuggestionsFor(rest[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return group, errors.New(text)
}

// useLine is how a command is called.
func useLine(cmd *cobra.Command) string {
	if cmd.Runnable() {
		return cmd.UseLine()
	}
	return cmd.CommandPath() + " [command]"
}

// noArguments is held to by commands that read files by their flags.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("filename") != nil:
		return fmt.Errorf("%q is not expected here: files and folders are named by -f", args[0])
	}
	return fmt.Errorf("%q is not expected here", args[0])
}
