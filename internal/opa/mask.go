package opa

import (
	"context"
	"maps"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/egress-governor/egress-governor/internal/policy"
)

// masks are the Rego of package system.log by file, of the configuration and of the bundles: what any of them masks is masked.
type masks map[string]string

// ofConfiguration is who says the configuration's, which is the name of no bundle.
const ofConfiguration = "config.opa"

func (m masks) clone() masks { return maps.Clone(m) }

// set has the Rego of one in the place of what it had before. The error is that of what does not compile beside the others.
func (m masks) set(by string, files map[string]string) error {
	for file := range m {
		if strings.HasPrefix(file, by+"/") {
			delete(m, file)
		}
	}
	n := 0
	for file, rego := range files {
		if rego != "" {
			m[by+"/"+strings.TrimPrefix(file, "/")] = rego
			n++
		}
	}
	if n == 0 {
		return nil
	}
	_, err := policy.CompileMask(m)
	return err
}

// maskOf returns the Rego of a bundle that says what is masked.
func maskOf(of *bundle.Bundle) map[string]string {
	out := map[string]string{}
	for _, module := range of.Modules {
		if module.Parsed != nil && module.Parsed.Package.Path.Equal(policy.MaskPackage) {
			out[module.Path] = string(module.Raw)
		}
	}
	return out
}

// setMask has OPA's plugin mask by what there is now.
func (o *OPA) setMask(ctx context.Context) error {
	compiler, err := policy.CompileMask(o.mask)
	if err != nil {
		return err
	}
	params := storage.WriteParams
	params.Context = storage.NewContext()
	return storage.Txn(ctx, o.manager.Store, params, func(txn storage.Transaction) error {
		plugins.SetCompilerOnContext(params.Context, compiler)
		return o.manager.Store.UpsertPolicy(ctx, txn, "mask", []byte("package mask"))
	})
}
