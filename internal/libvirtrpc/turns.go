package libvirtrpc

import (
	"context"
	"time"
)

const (
	// quick is how long a call has its turn to itself: most are replied to by then.
	quick = 5 * time.Millisecond
	// noWorker is for how long a worker is waited for. If there is none by then, all that libvirtd may
	// have wait for guests, or other clients have brought it to where it starts none.
	noWorker = 2 * time.Second
)

// turns is a Budget's that gives its one place on before the call that has it is replied to. It is
// used under the Budget's lock.
type turns struct {
	worker func(context.Context) error
	call   *place // the last that has gone to libvirtd; nil: it is replied to
	slow   bool   // it has had its time
	timer  *time.Timer
}

// NewTurns returns a Budget that lets calls into libvirtd one after the other: the next once the one
// before is replied to, or has left a worker. worker says that: it makes a call for which libvirtd
// takes any of them, and which waits for nothing.
//
// libvirtd begins with few workers (min_workers, 5), and starts another for a call if as many calls
// wait as workers are free, not if more do (virThreadPoolSendJob compares without a sign; libvirt 12
// has it still). Of calls that come faster than they are taken most find none started for them; if
// all of its few then wait for a guest, no call gets it to start more. A call that comes alone does.
func NewTurns(worker func(context.Context) error) *Budget {
	return &Budget{free: 1, turns: &turns{worker: worker}}
}

// sent says that the call goes to libvirtd now.
func (p *place) sent() {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.turns; t != nil && !p.left {
		t.call, t.slow = p, false
		t.timer = time.AfterFunc(quick, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if t.call != p { // replied to in this moment
				return
			}
			if t.slow = true; len(b.waiting) > 0 {
				t.next()
			}
		})
	}
}

// next is called when somebody waits. It gives the place on once there is a worker.
func (t *turns) next() {
	if t == nil || !t.slow {
		return
	}
	p := t.call
	t.call, t.slow = nil, false
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), noWorker)
		defer cancel()
		t.worker(ctx) // an error leaves nothing to wait for
		p.leave()
	}()
}

// ended says that a place is given back.
func (t *turns) ended(p *place) {
	if t != nil && t.call == p {
		t.timer.Stop()
		t.call, t.slow = nil, false
	}
}
