package egress

import "slices"

// A suspended entry keeps its place in an exit, so that nobody defines its hosts otherwise meanwhile, and opens nothing:
// neither its ports nor its callers are the exit's.

// Open returns the definition without the ports that none but suspended entries define.
func (e *Exit) Open() Definition {
	if len(e.shut) == 0 {
		return e.Definition
	}
	return e.Definition.only(func(port Port) bool { return !slices.Contains(e.shut, port.Number) })
}

// closed returns the ports that no member opens.
func (e *Exit) closed() (out []uint32) {
	suspended := func(member Member) bool { return member.Suspended }
	if !slices.ContainsFunc(e.Members, suspended) {
		return nil
	}
	for _, port := range e.Definition.Ports {
		opens := func(member Member) bool { return !member.Suspended && member.Definition.has(port.Number) }
		if !slices.ContainsFunc(e.Members, opens) {
			out = append(out, port.Number)
		}
	}
	return out
}
