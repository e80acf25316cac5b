package opa

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/logger/file"
	"github.com/open-policy-agent/opa/v1/plugins/logs"
	"github.com/open-policy-agent/opa/v1/server"
	"github.com/open-policy-agent/opa/v1/storage"
)

const (
	// maxWaiting and maxWaitingBytes are how many decisions wait to be masked and given to OPA's plugin, and how large they are.
	maxWaiting      = 1000
	maxWaitingBytes = 32 << 20
	// masking is the time that one may take.
	masking = time.Second
)

// Decision is what was decided about a request.
type Decision struct {
	// ID is that of the request.
	ID string
	// Time is when it was decided on.
	Time time.Time
	// Input is what policies saw, Result what was answered.
	Input, Result any
}

// decisions have OPA's plugin log decisions, and never have a request wait for it.
type decisions struct {
	of     *OPA
	plugin *logs.Plugin
	counts metrics.Metrics
	queue  chan waiting
	bytes  atomic.Int64
	drops  atomic.Int64
	// failures are told of apart: of masking, and of the file.
	unlogged, unfiled seldom
}

// waiting is a decision as it was, whatever becomes of the objects that it was about.
type waiting struct {
	info          server.Info
	input, result []byte
}

func (w waiting) size() int64 { return int64(len(w.input) + len(w.result)) }

func newDecisions(of *OPA, configuration, toFile []byte) (*decisions, error) {
	out := &decisions{of: of, counts: metrics.New(), queue: make(chan waiting, maxWaiting)}
	var loggers []string
	if len(toFile) > 0 {
		parsed, err := (&file.Factory{}).Validate(of.manager, toFile)
		if err != nil {
			return nil, fmt.Errorf("plugins.file_logger: %w", err)
		}
		loggers = []string{file.Name}
		plugin := (&file.Factory{}).New(of.manager, parsed).(*file.Plugin)
		of.manager.Register(file.Name, fileLogger{plugin, out.unwritten})
	}
	periodic := plugins.TriggerPeriodic
	parsed, err := logs.NewConfigBuilder().WithBytes(configuration).WithServices(of.manager.Services()).WithPlugins(loggers).
		WithLogger(of.manager.Logger()).WithTriggerMode(&periodic).Parse()
	if err != nil {
		return nil, fmt.Errorf("decision_logs: %w", err)
	}
	out.plugin = logs.New(parsed, of.manager).WithMetrics(out.counts)
	of.manager.Register(logs.Name, out.plugin)
	return out, nil
}

// Logs says whether decisions are logged.
func (o *OPA) Logs() bool { return o.logs != nil }

// Decided has a decision logged, or counts it as dropped where too many wait. It waits for nobody.
func (o *OPA) Decided(of Decision) {
	if o.logs == nil {
		return
	}
	next := waiting{info: server.Info{
		DecisionID: of.ID, Timestamp: of.Time, Path: "egress-governor/review", Bundles: map[string]server.BundleInfo{},
	}}
	o.mu.Lock()
	for name, source := range o.sources {
		if !source.activated.IsZero() {
			next.info.Bundles[name] = server.BundleInfo{Revision: source.revision}
		}
	}
	o.mu.Unlock()
	o.logs.add(next, of)
}

func (d *decisions) add(next waiting, of Decision) {
	var err error
	if next.input, err = json.Marshal(of.Input); err == nil {
		next.result, err = json.Marshal(of.Result)
	}
	if err != nil || d.bytes.Add(next.size()) > maxWaitingBytes {
		d.bytes.Add(-next.size())
		d.drops.Add(1)
		return
	}
	select {
	case d.queue <- next:
	default:
		d.bytes.Add(-next.size())
		d.drops.Add(1)
	}
}

// run gives decisions to OPA's plugin, once every bundle has come: what of them is masked may be theirs to say.
func (d *decisions) run(ctx context.Context) {
	select {
	case <-d.of.arrived:
	case <-ctx.Done():
		return
	}
	for {
		select {
		case next := <-d.queue:
			d.log(next)
		case <-ctx.Done():
			for len(d.queue) > 0 {
				d.log(<-d.queue)
			}
			return
		}
	}
}

func (d *decisions) log(next waiting) {
	d.bytes.Add(-next.size())
	ctx, cancel := context.WithTimeout(context.Background(), masking)
	defer cancel()
	var input, result any
	err := json.Unmarshal(next.input, &input)
	if err == nil {
		err = json.Unmarshal(next.result, &result)
	}
	next.info.Input, next.info.Results = &input, &result
	if err == nil {
		err = storage.Txn(ctx, d.of.manager.Store, storage.TransactionParams{}, func(txn storage.Transaction) error {
			next.info.Txn = txn
			return d.plugin.Log(ctx, &next.info)
		})
	}
	if err != nil {
		d.lost(&d.unlogged, err, "Decision is not logged", "decision", next.info.DecisionID)
	}
}

// unwritten takes in that a decision could not be written to its file.
func (d *decisions) unwritten(err error) {
	d.lost(&d.unfiled, err, "Decision is not written to its file")
}

// lost counts a decision. A full disk loses that of every request, which is not a line each.
func (d *decisions) lost(as *seldom, err error, what string, of ...any) {
	d.drops.Add(1)
	if untold, told := as.tell(); told {
		d.of.Log.Error(err, what, append(of, "alikeBefore", untold)...)
	}
}

// droppedTotal is how many decisions were not logged.
func (d *decisions) droppedTotal() float64 {
	out := float64(d.drops.Load())
	for name, value := range maps.All(d.counts.All()) {
		if count, is := value.(uint64); is && lost(name) {
			out += float64(count)
		}
	}
	return out
}
