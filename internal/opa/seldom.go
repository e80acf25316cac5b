package opa

import (
	"sync"
	"time"
)

// seldom is how often what may befall every request is told.
type seldom struct {
	mu   sync.Mutex
	last time.Time
	kept int
}

// tell says whether this one is told, the first or the first of another minute, and how many were not told before it.
func (s *seldom) tell() (untold int, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < time.Minute {
		s.kept++
		return 0, false
	}
	untold, s.kept, s.last = s.kept, 0, time.Now()
	return untold, true
}
