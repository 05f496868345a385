package tunnel

import (
	"strings"
	"sync"

	"github.com/virt-sluice/sluice/stream"
)

const (
	tailBytes = 2048 // of a command's standard error that are kept
	tailLines = 5    // of them that are told
)

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p[max(0, len(p)-tailBytes):]...)
	t.end = t.end[max(0, len(t.end)-tailBytes):]
	return len(p), nil
}

// String is the last lines, in one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.end)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, l := range lines {
		lines[i] = stream.Printable(strings.TrimSpace(l))
	}
	return strings.Join(lines, " | ")
}
