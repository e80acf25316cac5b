package egress

import (
	"strings"
	"unicode"
)

// Finding is something that is wrong with an object, or around it.
type Finding struct {
	// Code identifies the kind of finding: stable, lower case with hyphens.
	Code string
	// Field is the path of the offending field, empty where there is none.
	Field string
	// Message says what is wrong, Fix how to mend it.
	Message, Fix string
}

// Reason returns the code as Kubernetes wants reasons of conditions and Events: host-conflict is HostConflict.
func (f Finding) Reason() string {
	var out strings.Builder
	upper := true
	for _, letter := range f.Code {
		switch {
		case letter == '-':
			upper = true
			continue
		case upper:
			letter, upper = unicode.ToUpper(letter), false
		}
		out.WriteRune(letter)
	}
	return out.String()
}
