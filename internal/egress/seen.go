package egress

// Seen is a stored VirtualService, as those know it who see it.
type Seen struct {
	Namespace, Name string
	ExportTo        []string
}

// String is how an author finds it.
func (s *Seen) String() string { return "VirtualService " + s.Namespace + "/" + s.Name }

// sees says whether a client of the entry sees the VirtualService.
func (e *Entry) sees(by *Seen) bool {
	return meet(e, &Entry{Namespace: by.Namespace, ExportTo: by.ExportTo})
}
