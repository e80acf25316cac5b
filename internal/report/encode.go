package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// writeJSON writes a value for people as well: names and sentences stand as they are written.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func writeYAML(w io.Writer, value any) error {
	raw, err := yaml.Marshal(value)
	if err == nil {
		_, err = w.Write(raw)
	}
	return err
}

// written writes a value as JSON or YAML, or as its table.
func written(w io.Writer, value any, format string, table func() string) error {
	switch format {
	case "json":
		return writeJSON(w, value)
	case "yaml":
		return writeYAML(w, value)
	}
	_, err := io.WriteString(w, table())
	return err
}

// columns writes rows below each other, with what is said of each below it.
func columns(out *strings.Builder, rows [][]string, said [][]string) {
	width := make([]int, len(rows[0])-1)
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		for i := range width {
			width[i] = max(width[i], len([]rune(row[i])))
		}
	}
	for i, row := range rows {
		var line strings.Builder
		for j := range width {
			fmt.Fprintf(&line, "%-*s   ", width[j], row[j])
		}
		line.WriteString(row[len(width)])
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		for _, line := range said[i] {
			fmt.Fprintf(out, "  %s\n", printable(line))
		}
	}
}

// writeJUnit writes suites as CI systems read them.
func writeJUnit(w io.Writer, suites ...junitSuite) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(junitSuites{Suites: suites}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
