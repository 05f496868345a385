package faults

import (
	"fmt"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A watch counts the passes that a guest makes over its memory on either host, all the time.
type watch struct {
	quit chan struct{}
	done chan struct{}

	mu      sync.Mutex
	a, b    int
	settled bool // a is what it was after the first pass on host-b was seen
	err     error
}

func watchGuest(g *lab.Guest, a, b *lab.Host) *watch {
	w := &watch{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			onA, err := g.Passes(a)
			onB, errB := g.Passes(b)
			w.see(onA, onB, err, errB)
			select {
			case <-w.quit:
				return
			case <-again.C:
			}
		}
	}()
	return w
}

// see takes the counts, that of host-a first: it is not to grow any more once the guest has made a
// pass on host-b.
func (w *watch) see(a, b int, errs ...error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range errs {
		if err != nil && w.err == nil {
			w.err = err
		}
	}
	if w.settled && a > w.a && w.err == nil {
		w.err = fmt.Errorf("the guest has run on both hosts: it made %d passes on host-a after its first on host-b", a-w.a)
	}
	w.settled = w.settled || w.b > 0
	w.a, w.b = a, b
}

// passes are those on either host so far. The error says that the guest has run on both, or that
// its memory is not what it should be.
func (w *watch) passes() (a, b int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.a, w.b, w.err
}

func (w *watch) stop() {
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	<-w.done
}
