package libvirtrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// inflight are the client's calls that have no reply yet, and the streams that
// some have begun. Towards the daemon each has a serial of ours, since nobody
// holds a client to using each of its own once.
type inflight struct {
	draining atomic.Bool

	mu     sync.Mutex
	last   uint32 // serial of ours
	calls  map[uint32]*pending
	asked  map[callKey]*pending // the same, by what the client calls them
	closed *Error               // not nil: answers further calls
	gone   bool                 // the daemon has ended the connection
}

type callKey struct{ program, serial uint32 }

func (h Head) key() callKey { return callKey{h.Program, h.Serial} }

// maxInflight bounds what a client can pile up, streams included.
const maxInflight = 1024

// pending is a call, or the stream that is left of it.
type pending struct {
	asked  Head      // by the client
	serial uint32    // ours
	sent   Procedure // what the daemon is asked for; 0: nothing yet
	whole  bool      // its reply is to be taken whole
	reply  func(*Reply)
	wrote  func()     // Outcome.Replied
	read   func(bool) // Outcome.Read
	lost   func(context.Context) *Reply
	await  func() time.Duration
	done   chan struct{} // closed once it is answered; nil where nobody awaits that
	passes bool          // its reply has come, and is on its way to the client
	stream bool          // it is answered, and its stream goes on
}

// streams says whether a stream may follow its reply.
func (p *pending) streams() bool {
	return p.asked.Program == ProgramRemote && streams[p.asked.Procedure]
}

// decided says whether only the daemon, or Lost, may answer it.
func (p *pending) decided() bool { return p.await != nil || p.lost != nil }

// begin notes a call that will be passed on, unless it is to be refused.
func (f *inflight) begin(h Head) (*pending, *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed != nil:
		return nil, f.closed
	case f.asked[h.key()] != nil:
		return nil, Errorf(ErrRPC, "serial %d is that of another call, or of an open stream", h.Serial)
	case len(f.calls) == maxInflight:
		return nil, Errorf(ErrRPC, "%d calls and streams are open on this connection, as many as there may be", maxInflight)
	}
	if f.calls == nil {
		f.calls, f.asked = make(map[uint32]*pending), make(map[callKey]*pending)
	}
	for f.last++; f.last == 0 || f.calls[f.last] != nil; f.last++ { // 0 is of packets that are no calls
	}
	p := &pending{asked: h, serial: f.last}
	f.calls[p.serial], f.asked[h.key()] = p, p
	return p, nil
}

// send notes that a call goes on, as o says; as it came, if o is nil. It may
// not once it has been answered.
func (f *inflight) send(p *pending, o *Outcome) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[p.serial] != p {
		return false
	}
	p.sent = p.asked.Procedure
	if o == nil {
		return true
	}
	if o.Procedure != 0 {
		p.sent = o.Procedure
	}
	p.reply, p.wrote, p.read, p.lost, p.await = o.Reply, o.Replied, o.Read, o.Lost, o.Await
	p.whole = o.Reply != nil || o.Replied != nil || o.Read != nil || p.decided() || p.sent != p.asked.Procedure
	if p.await != nil {
		p.done = make(chan struct{})
	}
	return true
}

// forget takes out a call, and says whether it was there to be answered.
func (f *inflight) forget(p *pending) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forgetLocked(p)
}

func (f *inflight) forgetLocked(p *pending) bool {
	if f.calls[p.serial] != p {
		return false
	}
	delete(f.calls, p.serial)
	if f.asked[p.asked.key()] == p {
		delete(f.asked, p.asked.key())
	}
	return true
}

// replied finds the call that the daemon's packet h replies to. Nobody else answers it any more; it
// stays in flight until it is over. The client may use its serial again from now on.
func (f *inflight) replied(h Head) *pending {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.calls[h.Serial]
	if p == nil || p.sent == 0 || p.stream || p.asked.Program != h.Program {
		return nil
	}
	p.passes = true
	if !p.streams() {
		delete(f.asked, p.asked.key())
	}
	return p
}

// over notes that a call has been answered; good says that its stream, if it has one, is open.
func (f *inflight) over(p *pending, good bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if good && p.streams() && f.calls[p.serial] == p {
		p.stream = true
	} else {
		f.forgetLocked(p)
	}
	if p.done != nil {
		close(p.done)
		p.done = nil
	}
}

// toDaemon is the serial that a packet of a stream, of the client's, has there.
func (f *inflight) toDaemon(h Head) (serial uint32, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.asked[h.key()]
	if p == nil || p.sent == 0 || p.asked.Procedure != h.Procedure {
		return 0, false
	}
	return p.serial, true
}

// toClient is the same the other way. A stream has ended once the daemon says
// so: with anything but data, be it in answer to the client's end.
func (f *inflight) toClient(h Head) (serial uint32, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.calls[h.Serial]
	if p == nil || p.sent != h.Procedure || p.asked.Program != h.Program {
		return 0, false
	}
	if p.stream && h.Type == TypeStream && h.Status != StatusContinue {
		f.forgetLocked(p)
	}
	return p.asked.Serial, true
}

// rest says whether no call is in flight any more in a conversation that is
// draining. It says so once, and no call begins after that.
func (f *inflight) rest(busy func() bool) bool {
	if !f.draining.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil || busy() {
		return false
	}
	for _, p := range f.calls {
		if !p.stream {
			return false
		}
	}
	f.closed = Errorf(ErrRPC, "sluice is being stopped, and ends the connection")
	return true
}

// close lets no call begin any more, answers with words those that would, and takes out the calls
// that are to be answered so now: those that nobody has decided to wait for.
func (f *inflight) close(words *Error) (now []*pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed == nil {
		f.closed = words
	}
	for _, p := range f.calls {
		if p.passes || p.decided() {
			continue
		}
		f.forgetLocked(p)
		now = append(now, p)
	}
	return now
}

// undecided says whether there are calls that close would take out.
func (f *inflight) undecided() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.calls {
		if !p.passes && !p.decided() {
			return true
		}
	}
	return false
}

// lose returns the calls that the daemon, which is gone, won't answer, but
// somebody else may. Nobody awaits an answer of the others any more.
func (f *inflight) lose() (lost []*pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	for _, p := range f.calls {
		switch {
		case p.lost != nil && !p.passes:
			lost = append(lost, p)
		case p.done != nil:
			close(p.done)
			p.done = nil
		}
	}
	return lost
}

// wait returns when each awaited call is answered, or has been awaited for long enough.
func (f *inflight) wait() {
	type awaited struct {
		done  chan struct{}
		limit func() time.Duration
	}
	f.mu.Lock()
	var all []awaited
	for _, p := range f.calls {
		if p.done != nil {
			all = append(all, awaited{p.done, p.await})
		}
	}
	f.mu.Unlock()
	for _, a := range all {
		limit := time.NewTimer(a.limit())
		select {
		case <-a.done:
		case <-limit.C:
		}
		limit.Stop()
	}
}

// refusal answers further calls, if it is not nil.
func (f *inflight) refusal() *Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// deciding says whether an answer is in flight that somebody else gives if the daemon does not.
func (f *inflight) deciding() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.calls {
		if p.lost != nil {
			return true
		}
	}
	return false
}

// serverGone says whether the daemon has ended the connection.
func (f *inflight) serverGone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}
