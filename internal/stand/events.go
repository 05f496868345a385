package stand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Events takes what `sluice migrate --json` prints while it runs. The zero value is ready to be
// written to.
type Events struct {
	mu       sync.Mutex
	rest     []byte // of a line
	progress []control.Progress
	result   *control.Result
}

// Write takes output, and fails on what is no event.
func (e *Events) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest = append(e.rest, p...)
	for {
		line, rest, whole := bytes.Cut(e.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		e.rest = rest
		var event control.Event
		if err := json.Unmarshal(line, &event); err != nil {
			return 0, fmt.Errorf("sluice migrate --json printed %q: %w", line, err)
		}
		if event.Progress != nil {
			e.progress = append(e.progress, *event.Progress)
		}
		if event.Result != nil {
			e.result = event.Result
		}
	}
}

// Progress is what has been printed so far.
func (e *Events) Progress() []control.Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.progress)
}

// Result is the last line, or nil.
func (e *Events) Result() *control.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.result
}
