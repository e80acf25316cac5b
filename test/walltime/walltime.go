// Package walltime sets the wall clock of one process while it runs, as that of a machine is set, for tests. What the process is made of
// stays as it is: the kernel's own code in it, by which programs ask for the time, answers otherwise.
package walltime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// The code of linux/amd64. In answers are the offset of the seconds.
var (
	// answers is clock_gettime: it asks the kernel, and adds to the seconds of CLOCK_REALTIME alone.
	answers = []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
		0x0f, 0x05, //                   syscall
		0x85, 0xff, //                   test edi, edi (CLOCK_REALTIME is 0)
		0x75, 0x0d, //                   jnz ret
		0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, // mov rcx, seconds
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, //             ret
	}
	seconds = 13
	// leads is a jump there.
	leads = []byte{0xe9, 0, 0, 0, 0}
)

// Shift has the wall clock of a process differ from the machine's by so much from now on, in whole seconds; by nothing has it right again. What
// the process measures is as it was: only CLOCK_REALTIME of clock_gettime jumps, by which programs of Go know the time. It takes Linux on
// amd64, and the right to trace the process.
func Shift(pid int, by time.Duration) error {
	if on := runtime.GOOS + "/" + runtime.GOARCH; on != "linux/amd64" {
		return fmt.Errorf("%w: the wall clock of a process is set on linux/amd64 alone, not on %s", errors.ErrUnsupported, on)
	}
	of, err := opened(pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	if err := errors.Join(of.shift(by), of.memory.Close()); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}

// shift leads clock_gettime into code of ours, which lies where clock_getres was: nobody asks how fine clocks are.
func (p *process) shift(by time.Duration) error {
	gettime, getres, err := p.functions()
	if err != nil {
		return err
	}
	if getres.size < len(answers) || gettime.size < len(leads) {
		return errors.New("clock_getres of its vDSO has no room")
	}
	code, jump := append([]byte{}, answers...), append([]byte{}, leads...)
	binary.LittleEndian.PutUint64(code[seconds:], uint64(int64(by/time.Second)))
	binary.LittleEndian.PutUint32(jump[1:], uint32(getres.at-gettime.at-uint64(len(jump))))
	before := make([]byte, len(jump))
	if _, err := p.memory.ReadAt(before, int64(gettime.at)); err != nil {
		return err
	}
	ours := bytes.Equal(before, jump)
	if !ours && by/time.Second == 0 {
		return nil // it is right as it is
	}
	return p.still(func() (bool, error) {
		// Where a thread goes on in the midst of what is replaced it would read half of an instruction. In code of ours that is there another
		// number is written alone.
		within := func(at uint64) bool {
			return at > gettime.at && at < gettime.at+uint64(len(jump)) || at > getres.at && at < getres.at+uint64(len(code))
		}
		if at, known := p.counters(); !ours && (!known || slices.ContainsFunc(at, within)) {
			return false, nil
		}
		for _, part := range []struct {
			bytes []byte
			at    uint64
		}{{code, getres.at}, {jump, gettime.at}} {
			if _, err := p.memory.WriteAt(part.bytes, int64(part.at)); err != nil {
				return false, fmt.Errorf("%w: %w", errNoRight, err)
			}
		}
		return true, nil
	})
}
