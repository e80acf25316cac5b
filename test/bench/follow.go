package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// follower knows which entries of a namespace say that their exits stand, by a watch: whoever lists them again and again takes the API
// server's time from what is measured.
type follower struct {
	stop    context.CancelFunc
	changed chan struct{}

	mu    sync.Mutex
	stand map[string]bool
	err   error
}

// follow begins to follow a namespace.
func (r *run) follow(ctx context.Context, namespace string) (*follower, error) {
	ctx, stop := context.WithCancel(ctx)
	out := &follower{stop: stop, changed: make(chan struct{}, 1), stand: map[string]bool{}}
	events, err := r.watch(ctx, namespace)
	if err != nil {
		stop()
		return nil, err
	}
	go func() {
		for {
			err := out.read(events)
			if ctx.Err() != nil {
				return
			}
			// The API server ends a watch after a while.
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				events, err = r.watch(ctx, namespace)
			}
			if err != nil {
				out.note(func() { out.err = err })
				return
			}
		}
	}()
	return out, nil
}

// watch tells of all entries that are there, and then of each change.
func (r *run) watch(ctx context.Context, namespace string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.plane.Config.Host, "/")+entries(namespace)+"?watch=true", nil)
	if err != nil {
		return nil, err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("watch %s: %s", namespace, response.Status), response.Body.Close())
	}
	return response.Body, nil
}

// event is what a watch tells of an entry.
type event struct {
	Type   string
	Object struct {
		Metadata struct{ Name string }
		Status   struct {
			Conditions []struct{ Type, Status string }
		}
	}
}

func (e event) stands() bool {
	for _, one := range e.Object.Status.Conditions {
		if one.Type == "ExitReady" {
			return e.Type != "DELETED" && one.Status == "True"
		}
	}
	return false
}

// read takes in events until there are no more.
func (f *follower) read(events io.ReadCloser) error {
	defer func() { _ = events.Close() }() // it is read to its end, or given up
	lines := json.NewDecoder(events)
	for {
		var next event
		if err := lines.Decode(&next); err != nil {
			return err
		}
		f.note(func() {
			if delete(f.stand, next.Object.Metadata.Name); next.stands() {
				f.stand[next.Object.Metadata.Name] = true
			}
			if next.Type == "ERROR" {
				f.err = errors.New("the watch failed")
			}
		})
	}
}

func (f *follower) note(what func()) {
	f.mu.Lock()
	what()
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// reach returns when so many entries stand.
func (f *follower) reach(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, settles)
	defer cancel()
	for {
		f.mu.Lock()
		have, err := len(f.stand), f.err
		f.mu.Unlock()
		if err != nil || have >= count {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d entries stand: %w", have, count, ctx.Err())
		case <-f.changed:
		}
	}
}

// settles bounds the wait for exits.
const settles = 10 * time.Minute
