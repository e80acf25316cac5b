package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheHeapKeepsToTheContainersMemory where there is a limit, and nobody says otherwise.
func TestTheHeapKeepsToTheContainersMemory(t *testing.T) {
	const none = 1 << 40
	was := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	for name, of := range map[string]struct {
		file, environment string
		want              int64
	}{
		"limited":        {"536870912\n", "", 536870912 / 10 * 9},
		"not limited":    {"max\n", "", none},
		"told otherwise": {"536870912\n", "1GiB", none},
		"nonsense":       {"", "", none},
		"nothing":        {"0\n", "", none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", of.environment)
			debug.SetMemoryLimit(none)
			file := filepath.Join(t.TempDir(), "memory.max")
			require.NoError(t, os.WriteFile(file, []byte(of.file), 0o600))
			limitMemory([]string{filepath.Join(t.TempDir(), "other"), file})
			assert.Equal(t, of.want, debug.SetMemoryLimit(-1))
		})
	}
	debug.SetMemoryLimit(none)
	t.Setenv("GOMEMLIMIT", "")
	limitMemory([]string{filepath.Join(t.TempDir(), "memory.max")})
	assert.Equal(t, int64(none), debug.SetMemoryLimit(-1), "without cgroups nothing is limited")
}

// TestMemoryIsGivenBackInQuietTimes alone, and where there is something to give.
func TestMemoryIsGivenBackInQuietTimes(t *testing.T) {
	const mib = 1 << 20
	of := heapWatch{last: heapUse{allocated: 10 * mib, held: 60 * mib}}
	assert.False(t, of.spare(heapUse{allocated: 100 * mib, held: 60 * mib}), "the start goes on")
	assert.True(t, of.spare(heapUse{allocated: 101 * mib, held: 60 * mib}), "it is over")
	of.rested = 24 * mib
	assert.False(t, of.spare(heapUse{allocated: 102 * mib, held: 25 * mib}), "it was given back")
	assert.False(t, of.spare(heapUse{allocated: 104 * mib, held: 30 * mib}), "little came together since")
	assert.True(t, of.spare(heapUse{allocated: 106 * mib, held: 32 * mib}), "enough came together")
	of.rested = 24 * mib
	assert.False(t, of.spare(heapUse{allocated: 506 * mib, held: 90 * mib}), "requests come")
	assert.True(t, of.spare(heapUse{allocated: 506 * mib, held: 90 * mib}), "no more do")
}

// TestWhatTheHeapHoldsIsGivenBack to the system.
func TestWhatTheHeapHoldsIsGivenBack(t *testing.T) {
	const mib = 1 << 20
	before := readHeap()
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = make([]byte, mib)
	}
	during := readHeap()
	assert.GreaterOrEqual(t, during.allocated, before.allocated+64*mib)
	assert.GreaterOrEqual(t, during.held, uint64(64*mib))
	clear(burst)
	debug.FreeOSMemory()
	assert.Less(t, readHeap().held, during.held-32*mib)
}
