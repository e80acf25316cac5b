//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/egress-governor/egress-governor/internal/adopt"
)

// onTerminal returns what is shown on a terminal while something writes to it.
func onTerminal(t *testing.T, write func(terminal *os.File)) string {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	shown := make(chan string)
	go func() {
		var out bytes.Buffer
		_, err := out.ReadFrom(screen)
		// Nobody has the terminal open any more.
		assert.True(t, err == nil || errors.Is(err, unix.EIO), err)
		shown <- out.String()
	}()
	write(terminal)
	require.NoError(t, terminal.Close())
	out := <-shown
	require.NoError(t, screen.Close())
	return out
}

const cleared = "\r\033[K"

// TestWhoeverWaitsAtATerminalSeesHowFarItIs, where it takes a while: and at the end no more of it.
func TestWhoeverWaitsAtATerminalSeesHowFarItIs(t *testing.T) {
	t.Parallel()
	cluster := func(entries int) string {
		var out strings.Builder
		out.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
		for i := range entries {
			fmt.Fprintf(&out, "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e%d, namespace: shop}\nspec: {hosts: [e%d.example.com], exportTo: [.], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n", i, i)
		}
		file := filepath.Join(t.TempDir(), "cluster.yaml")
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o600))
		return file
	}
	plan := func(entries int) string {
		var stdout bytes.Buffer
		out := onTerminal(t, func(terminal *os.File) {
			assert.Equal(t, clean, execute(t.Context(), []string{"egressctl", "adopt", "--cluster", cluster(entries)}, strings.NewReader(""), &stdout, terminal))
		})
		assert.NotContains(t, stdout.String(), "] ")
		return out
	}
	long := plan(99)
	assert.Contains(t, long, "\r["+strings.Repeat("#", 20)+strings.Repeat(" ", 20)+"] 50 of 100")
	assert.Contains(t, long, "\r["+strings.Repeat("#", 40)+"] 100 of 100"+cleared)
	assert.NotContains(t, plan(few-2), "\r[", "it is done before anybody looks")
	_, _, errs := run(t, "", "adopt", "--cluster", cluster(99))
	assert.NotContains(t, errs, "\r", "nor in a file")
}

// TestEachStepOfAReturnIsSeen: an entry is written, and later its exit is let go.
func TestEachStepOfAReturnIsSeen(t *testing.T) {
	t.Parallel()
	stored := parsed(t, originated)
	h, _, _ := watched(t, stored)
	plan := make([]adopt.Return, few)
	for i := range plan {
		plan[i] = adopt.Return{Object: stored[1]}
	}
	cmd, _ := commanded(t)
	out := onTerminal(t, func(terminal *os.File) {
		cmd.SetErr(terminal)
		require.NoError(t, h.unseal(cmd, plan, nil, true))
	})
	assert.Contains(t, out, fmt.Sprintf("] %d of %d", few, 2*few))
	assert.Contains(t, out, fmt.Sprintf("] %d of %d"+cleared, 2*few, 2*few))
}
