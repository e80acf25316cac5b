package reliability

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// figures is the file of what was told.
const figures = "../../.run/reliability.txt"

// tell logs a figure, and leaves it for whoever writes of it.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	file, err := os.OpenFile(figures, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = fmt.Fprintln(file, line)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}
