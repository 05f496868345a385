package libvirtrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// underway are the client's calls that have no reply yet. What a client and a
// daemon can pile up there is bounded by what their sockets hold: a daemon that
// does not answer soon stops reading.
type underway struct {
	draining atomic.Bool

	mu     sync.Mutex
	m      map[callKey]pending
	closed *Error // not nil: answers further calls
	gone   bool   // the daemon has ended the connection
}

type callKey struct{ program, serial uint32 }

func (h Head) key() callKey { return callKey{h.Program, h.Serial} }

// pending is one of them.
type pending struct {
	asked Head      // by the client
	sent  Procedure // by us; 0: the call passes as it is, and its reply too
	reply func(*Reply)
	lost  func(context.Context) *Reply
	await func() time.Duration
	done  chan struct{} // closed once it is answered; nil where nobody awaits that
}

// begin notes a call that will be passed on, unless it is to be refused.
func (u *underway) begin(h Head) *Error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed != nil {
		return u.closed
	}
	if _, taken := u.m[h.key()]; taken {
		return Errorf(ErrRPC, "a call with serial %d is under way already", h.Serial)
	}
	if u.m == nil {
		u.m = make(map[callKey]pending)
	}
	u.m[h.key()] = pending{asked: h}
	return nil
}

// send says whether a call that was held may go on, as o and procedure say. It
// may not once it has been answered.
func (u *underway) send(h Head, procedure Procedure, o *Outcome) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, is := u.m[h.key()]
	if !is {
		return false
	}
	if o.Reply != nil || o.Lost != nil || procedure != h.Procedure {
		p.sent, p.reply, p.lost, p.await = procedure, o.Reply, o.Lost, o.Await
	}
	if p.await != nil {
		p.done = make(chan struct{})
	}
	u.m[h.key()] = p
	return true
}

// end takes out the call that h is or replies to, if it is there. One whose
// answer is awaited stays until it is over.
func (u *underway) end(h Head) (pending, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, is := u.m[h.key()]
	if p.done == nil {
		delete(u.m, h.key())
	}
	return p, is
}

// over tells that a call which end has found is answered.
func (u *underway) over(p pending) {
	if p.done == nil && p.lost == nil {
		return
	}
	u.mu.Lock()
	delete(u.m, p.asked.key())
	u.mu.Unlock()
	if p.done != nil {
		close(p.done)
	}
}

// rest says whether nothing is under way any more of a conversation that is
// draining. It says so once, and no call begins after that.
func (u *underway) rest(busy func() bool) bool {
	if !u.draining.Load() {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed != nil || len(u.m) > 0 || busy() {
		return false
	}
	u.closed = Errorf(ErrRPC, "sluice is being stopped, and ends the connection")
	return true
}

// part lets no call begin any more. It takes out those that are to be answered
// now, and leaves those whose answer is awaited.
func (u *underway) part(words *Error) (now []pending) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = words
	for key, p := range u.m {
		if p.await == nil {
			now = append(now, p)
			delete(u.m, key)
		}
	}
	return now
}

// lose takes out the calls that the daemon, which is gone, won't answer, but
// somebody else may. Nobody awaits an answer of the others any more.
func (u *underway) lose() (lost []pending) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = true
	if u.closed == nil {
		u.closed = Errorf(ErrRPC, "the connection with libvirt over there is lost")
	}
	for key, p := range u.m {
		switch {
		case p.lost != nil:
			lost = append(lost, p)
		case p.done != nil:
			close(p.done)
			p.done, p.await = nil, nil
			u.m[key] = p
		}
	}
	return lost
}

// wait returns when each awaited call is answered, or has been awaited for long
// enough.
func (u *underway) wait() {
	u.mu.Lock()
	var awaited []pending
	for _, p := range u.m {
		if p.done != nil {
			awaited = append(awaited, p)
		}
	}
	u.mu.Unlock()
	for _, p := range awaited {
		limit := time.NewTimer(p.await())
		select {
		case <-p.done:
		case <-limit.C:
		}
		limit.Stop()
	}
}

// refusal answers further calls, if it is not nil.
func (u *underway) refusal() *Error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// lostDaemon says whether the daemon has ended the connection.
func (u *underway) lostDaemon() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.gone
}
