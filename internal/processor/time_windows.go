// Package processor tells what the process has had of the processors, which on a machine that others use is steadier than the time on
// the clock.
package processor

import (
	"syscall"
	"time"
)

// Time is the processor time of the process, that of the kernel for it included. The error is the system's.
func Time() (time.Duration, error) {
	var began, ended, kernel, user syscall.Filetime
	process, err := syscall.GetCurrentProcess()
	if err == nil {
		err = syscall.GetProcessTimes(process, &began, &ended, &kernel, &user)
	}
	return spanOf(kernel) + spanOf(user), err
}

// spanOf is a span of time, which Windows counts in steps of 100 ns.
func spanOf(of syscall.Filetime) time.Duration {
	return time.Duration(int64(of.HighDateTime)<<32|int64(of.LowDateTime)) * 100
}
