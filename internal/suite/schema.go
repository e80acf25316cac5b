package suite

import _ "embed" // the schema

// Schema is the JSON Schema of suites, for editors.
//
//go:embed schema.json
var Schema []byte
