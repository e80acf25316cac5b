package walltime

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoRight tells who may not trace what it takes.
var errNoRight = errors.New("its memory cannot be written, which takes the right to trace it: root's, CAP_SYS_PTRACE, " +
	"or that of its parent where kernel.yama.ptrace_scope is 1 at most; and a kernel whose proc_mem.force_override is always")

// process is one that is traced.
type process struct {
	pid    int
	memory *os.File
}

func opened(pid int) (*process, error) {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: %w", errNoRight, err)
	}
	return &process{pid, memory}, err
}

// function is where one is in the memory of a process.
type function struct {
	at   uint64
	size int
}

// functions finds those of the vDSO: what the kernel maps into each process for it to ask for the time by.
func (p *process) functions() (gettime, getres function, err error) {
	start, image, err := p.vdso()
	if err != nil {
		return gettime, getres, err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return gettime, getres, fmt.Errorf("its vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return gettime, getres, fmt.Errorf("its vDSO: %w", err)
	}
	for _, symbol := range symbols {
		found := function{start + symbol.Value, int(symbol.Size)}
		switch symbol.Name {
		case "__vdso_clock_gettime":
			gettime = found
		case "__vdso_clock_getres":
			getres = found
		}
	}
	if gettime.at == 0 || getres.at == 0 {
		return gettime, getres, errors.New("its vDSO has no clock_gettime, or no clock_getres")
	}
	return gettime, getres, nil
}

func (p *process) vdso() (start uint64, image []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		var end uint64
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &start, &end); err != nil {
			return 0, nil, err
		}
		image = make([]byte, end-start)
		_, err := p.memory.ReadAt(image, int64(start))
		return start, image, err
	}
	return 0, nil, errors.New("it has no vDSO: the kernel runs with vdso=0")
}

// attempts bounds how often a process is stopped before nothing is in the way.
const attempts = 100

// still does something while no thread of the process runs, again where that says that it was not the moment.
func (p *process) still(do func() (bool, error)) error {
	for range attempts {
		done, err := p.stopped(do)
		if done || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("its threads are always in the midst of clock_gettime, or /proc does not say where they are")
}

func (p *process) stopped(do func() (bool, error)) (done bool, err error) {
	if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, syscall.Kill(p.pid, syscall.SIGCONT)) }()
	for deadline := time.Now().Add(5 * time.Second); !p.stands(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false, errors.New("it does not stop")
		}
	}
	return do()
}

// stands says whether every thread is stopped.
func (p *process) stands() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid))
	for _, stat := range stats {
		raw, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state: the name may hold anything.
		if _, after, _ := bytes.Cut(raw[bytes.LastIndexByte(raw, ')')+1:], []byte(" ")); !bytes.HasPrefix(after, []byte("T")) {
			return false
		}
	}
	return len(stats) > 0
}

// counters are where the threads go on; it says whether that of each is known.
func (p *process) counters() (out []uint64, known bool) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", p.pid))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		line := string(raw)
		at, err := strconv.ParseUint(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 0, 64)
		if err != nil {
			return nil, false
		}
		out = append(out, at)
	}
	return out, len(out) > 0
}
