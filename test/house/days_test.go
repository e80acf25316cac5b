package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lived is a day that a test lives through: outcomes that its requests may have, as the test names them, nil where it says nothing of them,
// and the fields that are named.
type lived struct {
	name   string
	may    []string
	fields []string
}

// days returns the days of a folder's tests: composites of a slice of a type, whose first field, or that called name, is the name.
func days(t *testing.T, folder, of string) (out []lived) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	require.NoError(t, err)
	outcomes := map[string][]string{}
	var found []*ast.CompositeLit
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				for i, value := range node.Values {
					if list, is := value.(*ast.CompositeLit); is && sliceOf(list) == "outcome" {
						outcomes[node.Names[i].Name] = idents(list.Elts)
					}
				}
			case *ast.CompositeLit:
				if sliceOf(node) == of {
					found = append(found, node)
				}
			}
			return true
		})
	}
	require.Len(t, found, 1, "days of %s", folder)
	for _, element := range found[0].Elts {
		out = append(out, livedOf(t, element.(*ast.CompositeLit).Elts, outcomes))
	}
	return out
}

// livedOf reads a day's composite.
func livedOf(t *testing.T, fields []ast.Expr, outcomes map[string][]string) (out lived) {
	t.Helper()
	for i, field := range fields {
		if pair, is := field.(*ast.KeyValueExpr); is {
			key := pair.Key.(*ast.Ident).Name
			out.fields = append(out.fields, key)
			if key != "name" {
				continue
			}
			field = pair.Value
		}
		switch field := field.(type) {
		case *ast.BasicLit:
			name, err := strconv.Unquote(field.Value)
			require.NoError(t, err)
			if out.name == "" {
				out.name = name
			}
		case *ast.Ident:
			if may, is := outcomes[field.Name]; is {
				out.may = append([]string{}, may...)
			} else if i == 2 {
				// A slice without a value has none.
				out.may = []string{}
			}
		case *ast.CompositeLit:
			if sliceOf(field) == "outcome" {
				out.may = idents(field.Elts)
			}
		}
	}
	require.NotEmpty(t, out.name)
	return out
}

func sliceOf(list *ast.CompositeLit) string {
	if array, is := list.Type.(*ast.ArrayType); is {
		if of, is := array.Elt.(*ast.Ident); is {
			return of.Name
		}
	}
	return ""
}

func idents(of []ast.Expr) []string {
	out := []string{}
	for _, each := range of {
		if name, is := each.(*ast.Ident); is {
			out = append(out, name.Name)
		}
	}
	return out
}

// table returns the rows of the table of a document that has such a column.
func table(t *testing.T, document, column string) (header []string, rows [][]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, document))
	require.NoError(t, err)
	within := false
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			within = false
		case slices.Contains(cells, column):
			header, within = cells, true
		case within && !strings.HasPrefix(cells[0], "-"):
			rows = append(rows, cells)
		}
	}
	require.NotEmpty(t, rows, column)
	return header, rows
}

// TestTheDocumentHasTheDaysThatAreLived, in their order, and no others; what a day's requests may not be, its row says nothing of.
func TestTheDocumentHasTheDaysThatAreLived(t *testing.T) {
	t.Parallel()
	header, rows := table(t, "docs/reliability.md", "failed closed")
	columns := map[string]int{
		"closed": slices.Index(header, "failed closed"), "unreachable": slices.Index(header, "not served by the API server"), "refused": slices.Index(header, "refused"),
	}
	lived := days(t, "test/reliability", "day")
	require.Len(t, rows, len(lived))
	for i, day := range lived {
		assert.Equal(t, day.name, rows[i][0])
		require.NotNil(t, day.may, day.name)
		for outcome, column := range columns {
			if !slices.Contains(day.may, outcome) {
				assert.Equal(t, "0", rows[i][column], "%s may not be %s", day.name, outcome)
			}
		}
	}

	// The first and the last are tests of their own.
	_, rows = table(t, "docs/reliability.md", "applies")
	lived = days(t, "test/e2e", "badDay")
	require.Len(t, rows, len(lived)+2)
	for i, day := range lived {
		row := rows[i+1]
		assert.Equal(t, day.name, row[0])
		for field, failed := range map[string]string{"applies": row[2], "calls": row[4]} {
			if !slices.Contains(day.fields, field) {
				assert.Equal(t, "0", failed, "%s: no %s may fail", day.name, field)
			}
		}
	}
}
