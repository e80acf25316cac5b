// Command webhook is egress-governor: the admission webhook and the controller of exit sets.
package main

import (
	"os"

	"go.uber.org/zap"
	// The image has no file of the web's authorities, by which bundles and traces are sent for.
	_ "golang.org/x/crypto/x509roots/fallback"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlzap "sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	level := zap.NewAtomicLevel()
	ctrl.SetLogger(lazily(ctrlzap.New(ctrlzap.Level(&level))))
	if err := command(level).ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		os.Exit(1)
	}
}
