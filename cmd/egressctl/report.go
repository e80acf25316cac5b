package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/egress-governor/egress-governor/internal/overview"
	"github.com/egress-governor/egress-governor/internal/page"
)

func reportCommand() *cobra.Command {
	var i inputs
	var output, serve string
	var every time.Duration
	out := &cobra.Command{
		Use: "report", Short: "Write an HTML page of who leaves the mesh, where, and what is wrong", Args: noArguments,
		Long: `Writes one HTML page that stands alone: who leaves where, by which entry and under which policies, what is suspended, not ready or in
violation, with a picture, a search and filters.

With --serve=ADDRESS, 127.0.0.1:8080 without one, it is served until interrupted, and kept current.`,
		Example: `  egressctl report --cluster mesh.yaml -o egress.html

  # To standard output, with what would be once a manifest is applied
  egressctl report --cluster mesh.yaml -f entry.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The other commands have a form by this flag.
			if slices.Contains([]string{"html", "json", "svg", "table", "yaml"}, output) {
				return fmt.Errorf("--output is the file that the page is written into, such as egress.html, and is %q; the same as JSON or a picture is egressctl graph -o json, svg", output)
			}
			of, err := i.overview(cmd)
			if err != nil {
				return err
			}
			switch {
			case serve != "":
				return i.serve(cmd, of, serve, every)
			case output == "" || output == "-":
				return page.Write(cmd.OutOrStdout(), of, time.Now())
			}
			if err := writeFile(output, of); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), output)
			return err
		},
	}
	i.bindApplied(out)
	out.Flags().StringVarP(&output, "output", "o", "", "file of the page (default: standard output)")
	_ = out.MarkFlagFilename("output", "html") // the flag is there
	out.Flags().StringVar(&serve, "serve", "", "serve the page at this address until interrupted, and read anew meanwhile")
	out.Flags().Lookup("serve").NoOptDefVal = "127.0.0.1:8080"
	out.Flags().DurationVar(&every, "every", 5*time.Second, "with --serve, how often it reads anew")
	return out
}

func writeFile(name string, of *overview.Overview) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(page.Write(file, of, time.Now()), file.Close())
}

func (i *inputs) serve(cmd *cobra.Command, of *overview.Overview, address string, every time.Duration) error {
	if slices.Contains(slices.Concat(i.files, i.policies, i.stored), "-") {
		return errors.New("--serve reads again and again, which standard input cannot be")
	}
	if every < time.Second {
		return fmt.Errorf("--every must be a second or more, is %s", every)
	}
	on, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", address)
	if err != nil {
		return err
	}
	local := on.Addr().(*net.TCPAddr).IP.IsLoopback()
	server, err := page.NewServer(of, time.Now(), local)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Serving at http://%s/\n", on.Addr())
	return page.Serve(cmd.Context(), on, server, every, func(context.Context) (*overview.Overview, error) { return i.overview(cmd) }, func(err error) {
		fmt.Fprintln(cmd.ErrOrStderr(), "Not read anew:", err)
	})
}
