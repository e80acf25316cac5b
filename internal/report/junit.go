package report

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// The part of JUnit's XML that CI systems read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Skipped *struct{}     `xml:"skipped"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitFailure `xml:"error"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit has a test case for each object; those about which nobody is asked are skipped.
func junit(w io.Writer, report *Report, options Options) error {
	suite := junitSuite{Name: "egressctl review", Tests: len(report.Objects)}
	for _, object := range report.Objects {
		one := junitCase{Class: object.File, Name: object.title, File: object.File, Line: object.Line, Out: strings.Join(object.Warnings, "\n")}
		if object.Verdict == ungoverned {
			one.Skipped = &struct{}{}
			suite.Skipped++
		}
		if one.Failure = object.failure(options); one.Failure != nil {
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, one)
	}
	return writeJUnit(w, suite)
}

// failure is why a test case fails, nil where it does not.
func (o Object) failure(options Options) *junitFailure {
	if o.Message != "" {
		first, _, _ := strings.Cut(o.Message, "\n")
		return &junitFailure{Type: o.Verdict, Message: first, Text: manifest.Place(o.File, o.Line) + ": " + o.Message}
	}
	for _, finding := range o.Findings {
		if options.Strict && finding.Effect == string(review.Warned) {
			first, _, _ := strings.Cut(finding.sentence, "\n")
			return &junitFailure{Type: finding.Effect, Message: first, Text: manifest.Place(o.File, finding.Line) + ": " + finding.sentence}
		}
	}
	return nil
}
