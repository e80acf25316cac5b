package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	to          io.Writer
	total, done int
	// shown is how many of the bar's places are filled.
	shown int
}

const (
	// few objects are answered before a bar is seen.
	few    = 50
	places = 40
)

func newProgress(to io.Writer, total int) *progress {
	file, is := to.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) || total < few {
		to = nil
	}
	return &progress{to: to, total: total, shown: -1}
}

func (p *progress) step() {
	p.done++
	filled := places * p.done / max(p.total, 1)
	if p.to == nil || filled == p.shown {
		return
	}
	p.shown = filled
	fmt.Fprintf(p.to, "\r[%s%s] %d of %d", strings.Repeat("#", filled), strings.Repeat(" ", places-filled), p.done, p.total)
}

// end takes the bar away.
func (p *progress) end() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\033[K")
	}
}
