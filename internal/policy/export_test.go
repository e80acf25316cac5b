package policy

import "time"

// Patient has evaluations end by what they make, and not by the time that they take on a busy machine.
func (e *Engine) Patient() { e.deciding = within(time.Hour, maxHeap) }
