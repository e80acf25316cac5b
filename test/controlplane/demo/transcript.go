package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// transcript prints what is asked and answered, in colour on a terminal only.
type transcript struct{ coloured bool }

func newTranscript() *transcript {
	return &transcript{coloured: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (t *transcript) paint(code, text string) string {
	if !t.coloured {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *transcript) heading(number int, title string) {
	if number > 0 {
		title = fmt.Sprintf("%d. %s", number, title)
	}
	fmt.Println("\n" + t.paint("1", title))
}

func (t *transcript) say(text string)     { fmt.Println(text) }
func (t *transcript) command(text string) { fmt.Println(t.paint("36", "$ "+text)) }
func (t *transcript) good(text string)    { fmt.Println(t.paint("32", text)) }
func (t *transcript) bad(text string)     { fmt.Println(t.paint("31", text)) }
func (t *transcript) warning(text string) { fmt.Println(t.paint("33", "Warning: "+text)) }

func (t *transcript) block(text string) {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Println("    " + line)
	}
}
