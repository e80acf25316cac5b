package report

import (
	"encoding/json"
	"encoding/xml"
	"io"
)

// writeJSON writes a value for people as well: names and sentences stand as they are written.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
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
