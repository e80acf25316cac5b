package certs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFilesServeWhatReplacesThem(t *testing.T) {
	t.Parallel()
	certificate, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	write := func(crt, private []byte) {
		require.NoError(t, os.WriteFile(key, private, 0o600))
		require.NoError(t, os.WriteFile(certificate, crt, 0o600))
	}
	write(pair(t, 1))
	source, err := NewFiles(certificate, key)
	require.NoError(t, err)
	require.NoError(t, source.Ready())
	assert.Equal(t, int64(1), served(t, source), "what is there is served at once")

	source.watcher.WithWatchInterval(10 * time.Millisecond) // a write may come before the watch
	mgr := newFakeManager(t)
	require.NoError(t, source.AddTo(mgr))
	mgr.everyReplica(t)
	mgr.start(t)
	write(pair(t, 2))
	require.Eventually(t, func() bool { return served(t, source) == 2 }, time.Minute, 10*time.Millisecond)

	require.NoError(t, os.WriteFile(certificate, []byte("not PEM"), 0o600))
	require.Error(t, source.watcher.ReadCertificate())
	assert.Equal(t, int64(2), served(t, source), "a bad certificate leaves the last one in place")
}

func TestFilesThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	missing := filepath.Join(folder, "tls.crt")
	_, err := NewFiles(missing, filepath.Join(folder, "tls.key"))
	require.ErrorContains(t, err, "serving certificate: open "+missing)

	crt, _ := pair(t, 1)
	_, other := pair(t, 2)
	require.NoError(t, os.WriteFile(missing, crt, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tls.key"), other, 0o600))
	_, err = NewFiles(missing, filepath.Join(folder, "tls.key"))
	require.ErrorContains(t, err, "serving certificate: tls: private key does not match")
}
