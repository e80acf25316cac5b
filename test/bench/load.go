package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sample is what the requests of one variant took within one round.
type sample struct {
	latencies []time.Duration
	// wall is how long its turns took, webhook, pair and apiServer what these processes took meanwhile.
	wall, webhook, pair, apiServer time.Duration
	// allocated are the bytes that were allocated meanwhile, where that is measured.
	allocated allocated
}

// post sends one entry.
func (r *run) post(ctx context.Context, path string, body []byte) error {
	return r.send(ctx, http.MethodPost, path, "application/json", body)
}

func (r *run) send(ctx context.Context, method, path, contentType string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.plane.Config.Host, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Accept", "application/json")
	response, err := r.http.Do(request)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.500s", method, path, response.Status, raw)
	}
	if problem := response.Body.Close(); err == nil {
		err = problem
	}
	return err
}

func entries(namespace string) string {
	return "/apis/networking.istio.io/v1/namespaces/" + namespace + "/serviceentries"
}

// clients have so many do one thing each until it was done count times, and returns how long each took.
func clients(ctx context.Context, many, count int, do func(ctx context.Context, i int) error) ([]time.Duration, error) {
	took := make([]time.Duration, count)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, many)
	for range many {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				began := time.Now()
				if err := do(ctx, i); err != nil {
					errs <- err
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return took, nil
	}
}

// turn measures one variant for a moment.
func (r *run) turn(into *sample, do func() ([]time.Duration, error)) error {
	webhook, pair, apiServer := r.webhook.cpu(), process(r.pair.Process.Pid).cpu(), r.apiServer.cpu()
	began := time.Now()
	took, err := do()
	into.wall += time.Since(began)
	into.webhook += r.webhook.cpu() - webhook
	into.pair += process(r.pair.Process.Pid).cpu() - pair
	into.apiServer += r.apiServer.cpu() - apiServer
	into.latencies = append(into.latencies, took...)
	return err
}

// dryRuns has the variants take turns of a few requests each: forward in one round, and backward in the next. It returns the rounds of each.
func (r *run) dryRuns(ctx context.Context, of []variant, many, rounds, each int) (map[string][]sample, error) {
	out := map[string][]sample{}
	per := max(many, 5)
	for round := range rounds + 1 {
		order := slices.Clone(of)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		samples := map[string]*sample{}
		for done := 0; done < each; done += per {
			for _, one := range order {
				if samples[one.name] == nil {
					samples[one.name] = &sample{}
				}
				if err := r.turn(samples[one.name], func() ([]time.Duration, error) { return r.dryRun(ctx, one, many, per) }); err != nil {
					return nil, err
				}
			}
		}
		if round == 0 {
			continue // connections are made, caches filled
		}
		for name, one := range samples {
			out[name] = append(out[name], *one)
		}
	}
	return out, nil
}

func (r *run) dryRun(ctx context.Context, of variant, many, count int) ([]time.Duration, error) {
	first := r.sent
	r.sent += count
	return clients(ctx, many, count, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("dry-%d", first+i)
		return r.post(ctx, entries(of.namespace())+"?dryRun=All", entry(of.namespace(), name, name+".bench.example.com"))
	})
}

// peaks has each variant alone for a moment, and notes down the most memory that the webhook had.
func (r *run) peaks(ctx context.Context, of []variant, many, count int) (map[string]float64, error) {
	out := map[string]float64{}
	for _, one := range of {
		if err := r.webhook.resetPeak(); err != nil {
			return nil, err
		}
		if _, err := r.dryRun(ctx, one, many, count); err != nil {
			return nil, err
		}
		_, _, out[one.name] = r.webhook.memory()
	}
	return out, nil
}
