package review

import (
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// once is what many look at of a ServiceEntry as its author wrote it: read for the first who asks, and not to be changed.
type once struct {
	entry   *egress.ServiceEntry
	unread  error
	listens *egress.Entry
	defines *egress.Definition
	// stood and wrote are what listenedBefore returns, once it was asked.
	asked bool
	stood *egress.Entry
	wrote *egress.ServiceEntry
}

// entry returns the subject's intent. The error is hop.Refusals.
func (s *subject) entry() (*egress.ServiceEntry, error) {
	if s.once.entry == nil && s.once.unread == nil {
		s.once.entry, s.once.unread = hop.ParseEntry(s.intent)
	}
	return s.once.entry, s.once.unread
}

// listens returns the subject as the sidecars of its clients listen for its calls.
func (s *subject) listens(intent *egress.ServiceEntry) *egress.Entry {
	if s.once.listens == nil {
		s.once.listens = s.listening(s.Object, intent)
	}
	return s.once.listens
}

// defines returns what the subject says of the exit of its hosts.
func (s *subject) defines(intent *egress.ServiceEntry) egress.Definition {
	if s.once.defines == nil {
		definition := intent.Define()
		s.once.defines = &definition
	}
	return *s.once.defines
}
