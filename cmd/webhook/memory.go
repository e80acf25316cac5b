package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// cgroupLimits are the files of the container's memory limit, of cgroup version 2 and 1; there is one of them at most.
var cgroupLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// limitMemory has the garbage collector keep to nine tenths of the container's memory, of which it knows nothing by itself: it lets
// the heap double before it looks. GOMEMLIMIT says otherwise where it is set.
func limitMemory(files []string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && limit > 0 {
			debug.SetMemoryLimit(limit / 10 * 9)
		}
	}
}

// lookAtHeap is how often somebody looks whether memory can be given back.
const lookAtHeap = 5 * time.Second

// spareMemory is a manager.Runnable that gives memory back that a burst has left, such as the start: the collector lets the heap grow
// to twice of what is in use, and keeps that for the next burst. It does so while there is little to do alone, so that no request waits
// for it.
type spareMemory struct{}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (spareMemory) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. It returns when the context ends.
func (spareMemory) Start(ctx context.Context) error {
	look := time.NewTicker(lookAtHeap)
	defer look.Stop()
	heap := heapWatch{last: readHeap()}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if heap.spare(readHeap()) {
				debug.FreeOSMemory()
				heap.rested = readHeap().held
			}
		}
	}
}

// heapUse is what was allocated since the start, and what the heap holds of the system's memory.
type heapUse struct{ allocated, held uint64 }

func readHeap() heapUse {
	of := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(of)
	return heapUse{of[0].Value.Uint64(), of[1].Value.Uint64() + of[2].Value.Uint64() + of[3].Value.Uint64()}
}

// heapWatch is what the heap was when it was looked at last, and what it held when memory was given back last.
type heapWatch struct {
	last   heapUse
	rested uint64
}

const (
	// little is what is allocated between two looks where there is little to do.
	little = 4 << 20
	// worthwhile is how much must have come together beside an eighth of what stays.
	worthwhile = 4 << 20
)

// spare says whether there is little to do, and enough to give back.
func (w *heapWatch) spare(now heapUse) bool {
	quiet := now.allocated-w.last.allocated < little
	w.last = now
	return quiet && now.held > w.rested+w.rested/8+worthwhile
}
