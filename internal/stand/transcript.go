package stand

import (
	"strings"
	"sync"
	"time"
)

// Transcript is the output of a program while it runs. The zero value is empty and ready to be
// written to.
type Transcript struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when there is more; nil while no one waits
}

// Write takes output.
func (x *Transcript) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.more != nil {
		close(x.more)
		x.more = nil
	}
	return x.text.Write(b)
}

// Text is all that was written so far.
func (x *Transcript) Text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// Line waits until one line has all the words, and returns the first such line. It need not have
// ended yet.
func (x *Transcript) Line(patience time.Duration, words ...string) (line string, ok bool) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		x.mu.Lock()
		text := x.text.String()
		if x.more == nil {
			x.more = make(chan struct{})
		}
		more := x.more
		x.mu.Unlock()
		for line := range strings.Lines(text) {
			if hasAll(line, words) {
				return strings.TrimSuffix(line, "\n"), true
			}
		}
		select {
		case <-more:
		case <-late.C:
			return "", false
		}
	}
}

func hasAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}
