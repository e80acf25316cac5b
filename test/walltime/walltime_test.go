package walltime

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// role is the variable that says which part a process of these tests has.
const role = "WALLTIME_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "tells":
		tells()
	case "stranger":
		fmt.Println(Shift(os.Getppid(), time.Hour))
	default:
		os.Exit(m.Run())
	}
}

// tells says the time and how long it runs whenever it is asked, and asks for both all the time.
func tells() {
	began := time.Now()
	for range 4 {
		go func() {
			for last := time.Now(); ; {
				now := time.Now()
				if now.Before(last) || now.Sub(last) > time.Minute {
					panic(fmt.Sprintf("%s passed", now.Sub(last)))
				}
				last = now
			}
		}()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(time.Now().UnixNano(), int64(time.Since(began)))
	}
}

// TestAClockIsSetWhileAProgramRuns: it says another time from then on, measures the same, and is right again. Nothing that asks for the time
// meanwhile is harmed.
func TestAClockIsSetWhileAProgramRuns(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env, child.Stderr = append(os.Environ(), role+"=tells"), os.Stderr
	asks, err := child.StdinPipe()
	require.NoError(t, err)
	said, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	began := time.Now()
	asked := func() (differs, runs time.Duration) {
		t.Helper()
		_, err := io.WriteString(asks, "\n")
		require.NoError(t, err)
		var nanoseconds int64
		_, err = fmt.Fscanln(said, &nanoseconds, &runs)
		require.NoError(t, err)
		return time.Until(time.Unix(0, nanoseconds)), runs
	}
	differs, _ := asked()
	assert.InDelta(t, 0, differs, float64(time.Minute))
	for n := range 5 {
		for _, by := range []time.Duration{day, -day, 0, 365 * day} {
			require.NoError(t, Shift(child.Process.Pid, by))
			differs, runs := asked()
			assert.InDelta(t, by, differs, float64(time.Minute), "turn %d", n)
			assert.LessOrEqual(t, runs, time.Since(began)+time.Second)
		}
	}
	require.NoError(t, asks.Close())
	assert.NoError(t, child.Wait())
}

// TestAClockThatWasNeverSetIsLeftAlone by whoever has it right again: nothing is written into the process.
func TestAClockThatWasNeverSetIsLeftAlone(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), role+"=tells")
	asks, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	of, err := opened(child.Process.Pid)
	require.NoError(t, err)
	_, before, err := of.vdso()
	require.NoError(t, err)
	require.NoError(t, Shift(child.Process.Pid, 0))
	_, after, err := of.vdso()
	require.NoError(t, err)
	assert.Equal(t, before, after)
	require.NoError(t, of.memory.Close())
	require.NoError(t, asks.Close())
	assert.NoError(t, child.Wait())
}

// TestWhoMayNotTraceIsTold what it takes, and so is who names no process.
func TestWhoMayNotTraceIsTold(t *testing.T) {
	t.Parallel()
	stranger := exec.CommandContext(t.Context(), "/proc/self/exe")
	stranger.Env = append(os.Environ(), role+"=stranger")
	if os.Getuid() == 0 {
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		said, err := stranger.CombinedOutput()
		require.NoError(t, err, string(said))
		assert.Contains(t, string(said), errNoRight.Error())
	} else {
		require.ErrorIs(t, Shift(1, time.Hour), errNoRight)
	}
	assert.ErrorIs(t, Shift(1<<30, time.Hour), os.ErrNotExist)
}
