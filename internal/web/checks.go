package web

import (
	"context"
	"net/http"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

const (
	// checkEvery is how old a check may be while somebody watches.
	checkEvery = 5 * time.Minute
	// checkLeast is how soon it is made again for one who asks.
	checkLeast = 10 * time.Second
	// checkTimeout bounds one.
	checkTimeout = time.Minute
)

// checks is what was found last. What is nil was not checked yet.
type checks struct {
	Running bool            `json:"running"`
	Host    *control.Report `json:"host,omitempty"`
	Peers   *control.Report `json:"peers,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// check checks this host and its peers while somebody watches.
func (f *feed) check(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.work.Go(func() {
		select {
		case <-stop:
		case <-f.closed:
		case <-ctx.Done():
		}
		cancel()
	})
	for ctx.Err() == nil {
		select {
		case <-time.After(checkEvery - f.age()):
		case <-f.again:
			if f.age() < checkLeast { // one that has just ended answers those who asked meanwhile
				continue
			}
		case <-ctx.Done():
			return
		}
		f.checkOnce(ctx)
	}
}

// age is how old what was found is.
func (f *feed) age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.checked)
}

// checkOnce checks all once. What was found before stays to be seen meanwhile.
func (f *feed) checkOnce(ctx context.Context) {
	f.mu.Lock()
	found := f.found
	f.mu.Unlock()
	found.Running = true
	f.publish(map[string]any{partChecks: found})
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	next := checks{}
	var err error
	if next.Host, err = f.from.Check(ctx, &control.CheckRequest{}); err == nil {
		next.Peers, err = f.from.Check(ctx, &control.CheckRequest{All: true})
	}
	if ctx.Err() == context.Canceled { // nobody watches any more: it says nothing about the host
		next = found
		next.Running = false
	} else if err != nil {
		next.Error = err.Error()
	}
	f.mu.Lock()
	f.found = next
	if ctx.Err() != context.Canceled {
		f.checked = time.Now()
	}
	f.mu.Unlock()
	f.publish(map[string]any{partChecks: next})
}

// checkAgain has it checked again, unless that has just been done.
func (p *Page) checkAgain(w http.ResponseWriter, _ *http.Request) {
	select {
	case p.feed.again <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}
