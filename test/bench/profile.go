package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profiled is how long is looked at under load.
const profiled = 15 * time.Second

// profile leaves in the folder of the run where the webhook spends its time while four clients send dry runs under the baseline and ten
// policies, what it allocates then and what it holds.
func (r *run) profile(ctx context.Context) error {
	return r.profileUnder(ctx, func(ctx context.Context) error {
		_, err := r.dryRun(ctx, named("ours-baseline-10")[0], 4, 100)
		return err
	}, func(ctx context.Context) error {
		return errors.Join(r.fetch(ctx, "cpu", r.webhookAt(cpuProfile())), r.fetch(ctx, "allocs", r.webhookAt("allocs")), r.fetch(ctx, "heap", r.webhookAt("heap?gc=1")))
	})
}

// profileStored leaves where the webhook and the API server spend their time while entries are stored: by ours, and by hand.
func (r *run) profileStored(ctx context.Context, each int) error {
	for file, name := range map[string]string{"stored": "ours-baseline-10", "by-hand": byHand} {
		if err := r.profileStoring(ctx, file, name, each); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) profileStoring(ctx context.Context, file, name string, each int) error {
	by, err := r.storer(ctx, name)
	if err != nil {
		return err
	}
	defer by.follower.stop()
	err = r.profileUnder(ctx, func(ctx context.Context) error {
		_, err := by.store(ctx, 16, each)
		return err
	}, func(ctx context.Context) error {
		return r.fetchAll(ctx, map[string]string{
			file + "-webhook": r.webhookAt(cpuProfile()), file + "-webhook-allocs": r.webhookAt(allocProfile()),
			file + "-apiserver": r.apiServerAt("/debug/pprof/" + cpuProfile()), file + "-apiserver-allocs": r.apiServerAt("/debug/pprof/" + allocProfile()),
		})
	})
	fmt.Printf("%s: %d entries while it was profiled\n", name, by.stored)
	return errors.Join(err, r.forget(ctx))
}

// profileUnder looks while something is done again and again.
func (r *run) profileUnder(ctx context.Context, load, look func(context.Context) error) error {
	looking, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && looking.Err() == nil {
			err = load(ctx)
		}
		done <- err
	}()
	err := look(ctx)
	stop()
	return errors.Join(err, <-done)
}

// Where processor time goes, and what is allocated meanwhile: that is the same in each run, however busy the machine is.
func cpuProfile() string   { return fmt.Sprintf("profile?seconds=%.0f", profiled.Seconds()) }
func allocProfile() string { return fmt.Sprintf("allocs?seconds=%.0f", profiled.Seconds()) }

func (r *run) webhookAt(what string) string {
	return "http://" + r.pprofAddress + "/debug/pprof/" + what
}

func (r *run) apiServerAt(path string) string {
	return strings.TrimSuffix(r.plane.Config.Host, "/") + path
}

// fetchAll fetches files at once.
func (r *run) fetchAll(ctx context.Context, urls map[string]string) (err error) {
	done := make(chan error, len(urls))
	for name, url := range urls {
		go func() { done <- r.fetch(ctx, name, url) }()
	}
	for range urls {
		err = errors.Join(err, <-done)
	}
	return err
}

func (r *run) fetch(ctx context.Context, name, url string) error {
	raw, err := r.read(ctx, url)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.folder, name+".pprof"), raw, 0o600)
}

// read returns what is at a URL: by HTTPS the API server's.
func (r *run) read(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	by := http.DefaultClient
	if strings.HasPrefix(url, "https:") {
		by = r.http
	}
	response, err := by.Do(request)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(response.Body)
	return raw, errors.Join(err, response.Body.Close())
}
