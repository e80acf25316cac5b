package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is one of this machine, as /proc has it.
type process int

// child returns the process of a program that this one started, 0 where there is none.
func child(program string) process {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(os.Getpid()) && strings.HasSuffix(name, "("+program) {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return process(id)
		}
	}
	return 0
}

// cpu is the processor time that it has taken so far: what the scheduler counts, in nanoseconds, for each of its threads.
func (p process) cpu() (out time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		ran, _, _ := strings.Cut(string(raw), " ")
		took, _ := strconv.ParseInt(ran, 10, 64)
		out += time.Duration(took)
	}
	return out
}

// resetPeak begins a new peak of memory.
func (p process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0o200)
}

// memory is what is resident, in MiB: now, now without the pages of the program's own file, and at most.
func (p process) memory() (now, anonymous, peak float64) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	for line := range strings.SplitSeq(string(raw), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib / 1024
		case "RssAnon:":
			anonymous = kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	return now, anonymous, peak
}
