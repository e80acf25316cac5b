//go:build unix

// Package processor tells what the process has had of the processors, which on a machine that others use is steadier than the time on
// the clock.
package processor

import (
	"syscall"
	"time"
)

// Time is the processor time of the process, that of the kernel for it included. The error is the system's.
func Time() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
