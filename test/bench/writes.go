package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// asked is what an entry costs the API server beside its author's own apply.
type asked struct {
	What string
	// Most are the writes that it is to cost at most, Each those that it cost, Which what they were.
	Most, Each float64
	Which      string
}

const (
	// applied are the entries by which writes are counted.
	applied = 20
	// quiet is how long nothing more is written after the last of them.
	quiet = 3 * time.Second
)

// countWrites applies entries of new hosts, as many again of a host that others have, and then all of these once more as they are.
func (r *run) countWrites(ctx context.Context) (out []asked, err error) {
	of := named("ours-0")[0]
	follower, err := r.follow(ctx, of.namespace())
	if err != nil {
		return nil, err
	}
	defer follower.stop()
	for i, next := range []struct {
		what, name, host string
		most             float64
	}{
		{"a new host", "new-%d", "new-%d.bench.example.com", 3},
		{"a further entry of a known host", "further-%d", "new-0.bench.example.com", 1},
		{"an entry that is applied again", "further-%d", "new-0.bench.example.com", 0},
	} {
		before, err := r.written(ctx)
		if err != nil {
			return nil, err
		}
		for n := range applied {
			name, host := fmt.Sprintf(next.name, n), strings.ReplaceAll(next.host, "%d", strconv.Itoa(n))
			if err := r.send(ctx, http.MethodPatch, entries(of.namespace())+"/"+name+"?fieldManager=bench", "application/apply-patch+yaml", entry(of.namespace(), name, host)); err != nil {
				return nil, err
			}
		}
		if err := follower.reach(ctx, min(i+1, 2)*applied); err != nil {
			return nil, err
		}
		after, err := r.settled(ctx)
		if err != nil {
			return nil, err
		}
		one := asked{What: next.what, Most: next.most, Which: perEntry(before, after, applied)}
		for verb := range after {
			one.Each += (after[verb] - before[verb]) / applied
		}
		out = append(out, one)
	}
	return out, r.forget(ctx)
}

// settled returns what was written once nothing more is.
func (r *run) settled(ctx context.Context) (map[string]float64, error) {
	last := map[string]float64{}
	for {
		next, err := r.written(ctx)
		if err != nil || fmt.Sprint(next) == fmt.Sprint(last) {
			return next, err
		}
		last = next
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(quiet):
		}
	}
}

var written = regexp.MustCompile(`(?m)^apiserver_request_total\{.*dry_run="",.*resource="(?:serviceentries|virtualservices|destinationrules|gateways|envoyfilters|authorizationpolicies|events)",.*verb="(POST|PUT|PATCH|DELETE)",.*\} (\S+)$`)

// written are the writes of what belongs to exits that the API server has taken so far, but for those of who applies.
func (r *run) written(ctx context.Context) (map[string]float64, error) {
	raw, err := r.read(ctx, r.apiServerAt("/metrics"))
	return counted(written, string(raw)), err
}
