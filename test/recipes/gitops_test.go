package recipes

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestTheHealthCheckOfArgoCD runs its Lua as Argo CD does: the object is the global obj, and what is returned says status and message.
func TestTheHealthCheckOfArgoCD(t *testing.T) {
	t.Parallel()
	var settings struct {
		Data map[string]string `json:"data"`
	}
	Read(t, "recipes.md", "argocd-cm.yaml", &settings)
	script := settings.Data["resource.customizations.health.networking.istio.io_ServiceEntry"]
	require.NotEmpty(t, script)
	healthOf := func(name string, of *unstructured.Unstructured) string {
		vm := lua.NewState(lua.Options{SkipOpenLibs: true})
		for _, library := range []struct {
			name string
			open lua.LGFunction
		}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
			require.NoError(t, vm.CallByParam(lua.P{Fn: vm.NewFunction(library.open), Protect: true}, lua.LString(library.name)))
		}
		defer vm.Close()
		vm.SetGlobal("obj", table(vm, of.Object))
		require.NoError(t, vm.DoString(script), name)
		health, is := vm.Get(-1).(*lua.LTable)
		require.True(t, is, name)
		assert.NotEqual(t, lua.LNil, health.RawGetString("message"), name)
		return health.RawGetString("status").String()
	}
	for name, state := range states {
		object := stored(t, state.text, state.status, state.reason)
		assert.Equal(t, state.argo, healthOf(name, object), name)
		assert.Equal(t, state.argo, healthOf(name, told(t, object, "2")), name)
		if state.status != "" {
			assert.Equal(t, "Progressing", healthOf(name, told(t, object, int64(1))), "%s, of the generation before", name)
			assert.Equal(t, "Progressing", healthOf(name, told(t, object, "1")), "%s, of the generation before, in text", name)
		}
	}
}

// table is a value as Lua has it.
func table(vm *lua.LState, of any) lua.LValue {
	switch v := of.(type) {
	case map[string]any:
		out := vm.NewTable()
		for key, value := range v {
			out.RawSetString(key, table(vm, value))
		}
		return out
	case []any:
		out := vm.NewTable()
		for _, value := range v {
			out.Append(table(vm, value))
		}
		return out
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

// TestTheHealthCheckOfFlux evaluates its expressions by Flux's own evaluator. Without them every entry is as it should be.
func TestTheHealthCheckOfFlux(t *testing.T) {
	t.Parallel()
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	Read(t, "recipes.md", "kustomization.yaml", &kustomization)
	require.Len(t, kustomization.Spec.HealthCheckExprs, 1)
	check := kustomization.Spec.HealthCheckExprs[0]
	assert.Equal(t, "networking.istio.io/v1 ServiceEntry", check.APIVersion+" "+check.Kind)
	evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
	require.NoError(t, err)
	for name, state := range states {
		object := stored(t, state.text, state.status, state.reason)
		for _, object := range []*unstructured.Unstructured{object, told(t, object, "2")} {
			got, err := evaluator.Evaluate(t.Context(), object)
			if state.flux == "" {
				assert.Error(t, err, name)
			} else if assert.NoError(t, err, name) {
				assert.Equal(t, state.flux, string(got.Status), name)
			}
		}
		if state.status != "" && state.text == external {
			for _, before := range []*unstructured.Unstructured{told(t, object, int64(1)), told(t, object, "1")} {
				got, err := evaluator.Evaluate(t.Context(), before)
				require.NoError(t, err, name)
				assert.Equal(t, status.InProgressStatus, got.Status, "%s, of the generation before", name)
			}
		}
		for _, object := range []*unstructured.Unstructured{object, told(t, object, int64(1))} {
			without, err := status.Compute(object)
			require.NoError(t, err, name)
			assert.Equal(t, status.CurrentStatus, without.Status, "%s: kstatus waits for Ready alone", name)
		}
	}
}
