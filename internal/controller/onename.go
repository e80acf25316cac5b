package controller

import "sync"

// oneByName lets one at a time be at work on a name. The zero value is ready for use.
type oneByName struct {
	mu sync.Mutex
	of map[string]*atWork
}

// atWork is held by whoever is at work; of counts him and those who wait for him.
type atWork struct {
	sync.Mutex
	of int
}

// begin returns when nobody else is at work on a name; the function that it returns ends that.
func (o *oneByName) begin(name string) (end func()) {
	o.mu.Lock()
	if o.of == nil {
		o.of = map[string]*atWork{}
	}
	if o.of[name] == nil {
		o.of[name] = &atWork{}
	}
	at := o.of[name]
	at.of++
	o.mu.Unlock()
	at.Lock()
	return func() {
		at.Unlock()
		o.mu.Lock()
		defer o.mu.Unlock()
		if at.of--; at.of == 0 {
			delete(o.of, name)
		}
	}
}
