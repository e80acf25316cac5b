package codes

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// deciding are the packages that say what is wrong with an object.
var deciding = []string{"dryrun", "egress", "hop", "policy", "registry", "review"}

// around are codes of what is wrong with a gateway, which preflight tells of, and for which no object is denied.
var around = []string{"foreign-gateway", "gateway-port-missing", "gateway-service-missing"}

// ofTheServer are how egressctl calls what the API server itself says no to, in words of its own.
var ofTheServer = []string{"conflict", "guard", "invalid", "unknown-field", "unreadable"}

// Refusals returns the codes that stand in the source of the decision, those of policies left out. The error names a place where
// one is given in a way that cannot be read there.
func Refusals(root string) (out []string, err error) {
	for _, name := range deciding {
		files, err := filepath.Glob(filepath.Join(root, "internal", name, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			found, err := codesOf(path)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	out = slices.DeleteFunc(out, func(code string) bool { return slices.Contains(around, code) || slices.Contains(ofTheServer, code) })
	slices.Sort(out)
	return slices.Compact(out), nil
}

var (
	kebab = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	// named is a constant, or the code of another finding.
	named = regexp.MustCompile(`^([A-Za-z]+\.)*[cC]ode[A-Z]*[A-Za-z]*$`)
)

// codesOf returns the codes of a file: what findings are made with, and the constants that are called so.
func codesOf(path string) (out []string, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		return nil, err
	}
	take := func(from ast.Expr) {
		if literal, is := from.(*ast.BasicLit); is && literal.Kind == token.STRING {
			if code, _ := strconv.Unquote(literal.Value); kebab.MatchString(code) {
				out = append(out, code)
				return
			}
		}
		if !named.MatchString(text(from)) && err == nil {
			err = fmt.Errorf("%s: write the code as a string, so that it is found here and has a page", set.Position(from.Pos()))
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CompositeLit:
			return text(n.Type) != "metav1.Status" // whose code is HTTP's
		case *ast.CallExpr:
			if of, is := n.Fun.(*ast.SelectorExpr); is && of.Sel.Name == "add" && len(n.Args) == 4 && file.Name.Name == "hop" {
				take(n.Args[0])
			}
		case *ast.KeyValueExpr:
			if text(n.Key) == "Code" {
				take(n.Value)
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(strings.ToLower(name.Name), "code") && i < len(n.Values) {
					take(n.Values[i])
				}
			}
		}
		return true
	})
	return out, err
}

// text is an expression of names, empty for any other.
func text(of ast.Expr) string {
	switch e := of.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return text(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return text(e.X)
	}
	return ""
}
