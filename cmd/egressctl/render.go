package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// What --diff compares with.
const (
	withInput   = "input"
	withCluster = "cluster"
)

func renderCommand() *cobra.Command {
	var i inputs
	var diff string
	out := &cobra.Command{
		Use: "render -f FILES", Short: "Print what would be stored, and the exit sets", Args: noArguments,
		Long: `Prints manifests in the form in which they would be stored, and after them what the controllers make of it: the exit sets in the
egress gateways' namespaces, and what they keep beside entries. Rendered again the output stays as it is.

What is not allowed is told, and left out.`,
		Example: `  egressctl render -f entry.yaml

  # What changes in what was written, or in what a cluster holds
  egressctl render -f entry.yaml --diff
  egressctl render -f entry.yaml --cluster cluster.yaml --diff=cluster`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if diff != "" && diff != withInput && diff != withCluster {
				return oneOf("diff", diff, []string{withInput, withCluster})
			}
			session, answers, err := i.apply(cmd)
			if err != nil {
				return err
			}
			objects, err := session.Render(answers)
			if err != nil {
				return err
			}
			if diff == "" {
				err = printAll(cmd.OutOrStdout(), objects)
			} else {
				err = printDiff(cmd.OutOrStdout(), objects, before(diff, session, answers))
			}
			if err != nil {
				return err
			}
			return refusals(cmd.ErrOrStderr(), answers)
		},
	}
	i.bind(out)
	out.Flags().StringVar(&diff, "diff", "", "print the differences from what was written (input) or from what is stored already (cluster)")
	out.Flags().Lookup("diff").NoOptDefVal = withInput
	completes(out, "diff", withInput, withCluster)
	return out
}

func unrenderCommand() *cobra.Command {
	var i inputs
	out := &cobra.Command{
		Use: "unrender -f FILES", Short: "Print stored objects as their authors wrote them", Args: noArguments,
		Long: `Prints stored objects as their authors wrote them, without what egress-governor keeps beside them.`,
		Example: `  kubectl get serviceentries,virtualservices,destinationrules -A -o yaml | egressctl unrender -f -

  egressctl unrender -f stored.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := i.session(cmd.Context(), cmd.InOrStdin())
			if err != nil {
				return err
			}
			stored, err := i.manifests(cmd.InOrStdin())
			if err != nil {
				return err
			}
			objects, err := session.Unrender(stored)
			if printing := printAll(cmd.OutOrStdout(), objects); printing != nil {
				return printing
			}
			return err
		},
	}
	i.bind(out)
	return out
}

// printAll prints objects as a stream of YAML.
func printAll(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, object := range objects {
		raw, err := yaml.Marshal(object.Object)
		if err != nil {
			return err
		}
		if i > 0 {
			raw = append([]byte("---\n"), raw...)
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// before returns what an object is compared with, nil for nothing.
func before(diff string, session *dryrun.Session, answers []dryrun.Answer) func(*unstructured.Unstructured) *unstructured.Unstructured {
	if diff == withCluster {
		return session.Given
	}
	written := map[string]*unstructured.Unstructured{}
	for _, answer := range answers {
		written[answer.GroupVersionKind().GroupKind().String()+manifest.Name(answer.Unstructured)] = answer.Unstructured
	}
	return func(object *unstructured.Unstructured) *unstructured.Unstructured {
		return written[object.GroupVersionKind().GroupKind().String()+manifest.Name(object)]
	}
}

// printDiff prints how objects differ from what was before.
func printDiff(w io.Writer, objects []*unstructured.Unstructured, before func(*unstructured.Unstructured) *unstructured.Unstructured) error {
	for _, object := range objects {
		was, from := "", "/dev/null"
		if old := before(object); old != nil {
			raw, err := yaml.Marshal(alike(old, object).Object)
			if err != nil {
				return err
			}
			was, from = string(raw), manifest.Name(old)
		}
		is, err := yaml.Marshal(object.Object)
		if err != nil {
			return err
		}
		text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: lines(was), B: lines(string(is)), FromFile: from, ToFile: manifest.Name(object), Context: 3,
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return err
		}
	}
	return nil
}

// alike returns what is stored as it would stand beside an object: in its version, which of Istio's kinds changes nothing, and without
// a status, of which the object has none.
func alike(stored, object *unstructured.Unstructured) *unstructured.Unstructured {
	out := dryrun.Bare(stored)
	out.SetAPIVersion(object.GetAPIVersion())
	if _, is := object.Object["status"]; !is {
		delete(out.Object, "status")
	}
	return out
}

// lines are those of a text, with their ends.
func lines(text string) []string {
	return slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return line == "" })
}
