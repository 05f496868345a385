package handover

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// lockSocket is the name under which the run folder's lock goes with the sockets.
const lockSocket = "lock"

// Process is one process of a host's sluice.
type Process struct {
	ID      string    `json:"id"` // unique on this host
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Serving bool      `json:"serving"` // it accepts what comes
}

// Offer is what this process lets others of its host's sluice ask for.
type Offer struct {
	Process Process // Serving is not looked at
	Sockets *Sockets
	Lock    *os.File // of the run folder
	Log     zerolog.Logger

	// Pass serves a connection, which it takes over, if the session that mark stands for is here. Of
	// one in clear open is the first frame, which has been read. It must not wait.
	Pass func(c *net.TCPConn, mark string, open []byte) bool
	// Stop ends what is under way: all at once, or when it is done.
	Stop func(now bool)

	Accepting atomic.Bool // this process serves; set by the caller

	taken  atomic.Bool   // somebody is taking over, or has, and lives
	Handed chan struct{} // made by the caller; closed once another process serves in place of this one

	mu     sync.RWMutex // read while a connection is taken, so that none is after Ending
	ending bool
	handed bool
}

// Ending has this process take no more connections, and nobody take over from it who does not serve
// yet. When it returns Handed is closed, or never will be.
func (o *Offer) Ending() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
}

// IfServing runs f if no other process has taken over, and none does meanwhile.
func (o *Offer) IfServing(f func()) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if !o.handed && !o.ending {
		f()
	}
}

func (o *Offer) isEnding() bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.ending
}

// acceptAgain is how long Serve waits after it could not accept.
const acceptAgain = 100 * time.Millisecond

// Serve answers other processes until the listener is closed. Then this process is gone, as they see
// it, and what it has left is theirs: the listener is the last thing to be closed.
func (o *Offer) Serve(l *net.UnixListener) {
	var open sync.WaitGroup
	defer open.Wait()
	conns := make(map[*net.UnixConn]bool)
	var mu sync.Mutex
	defer func() {
		o.Ending()
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			c.Close()
		}
	}()
	for {
		c, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, most likely, and nothing tells when there are some again
			o.Log.Error().Err(err).Msg("accept another process of sluice")
			time.Sleep(acceptAgain)
			continue
		}
		mu.Lock()
		conns[c] = true
		mu.Unlock()
		open.Go(func() {
			o.answer(c)
			mu.Lock()
			defer mu.Unlock()
			delete(conns, c)
			c.Close()
		})
	}
}

func (o *Offer) answer(c *net.UnixConn) {
	m, file, err := read(c)
	if err != nil {
		return
	}
	if file != nil {
		defer file.Close()
	}
	switch m.Ask {
	case askTake:
		o.take(c)
	case askWatch:
		write(c, o.last(), nil)
		read(c) // until it ends
	case askPass:
		write(c, &message{Took: o.pass(m, file)}, nil)
	case askStop:
		o.Stop(m.Now)
		write(c, &message{Took: true}, nil)
	default:
		write(c, &message{Refused: "this question is not known"}, nil)
	}
}

func (o *Offer) pass(m *message, file *os.File) bool {
	if file == nil {
		return false
	}
	c, err := net.FileConn(file)
	if err != nil {
		return false
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	tcp, is := c.(*net.TCPConn)
	if is && !o.ending && o.Pass(tcp, m.Mark, m.Open) {
		return true
	}
	c.Close()
	return false
}

// last is the last answer to take and watch.
func (o *Offer) last() *message {
	p := o.Process
	select {
	case <-o.Handed:
	default:
		p.Serving = o.Accepting.Load()
	}
	return &message{Last: true, Process: &p}
}

// take gives the sockets to another process, and stays with it to its end.
func (o *Offer) take(c *net.UnixConn) {
	if !o.Accepting.Load() {
		write(c, &message{Refused: "it is about to follow another process itself"}, nil)
		return
	}
	if !o.taken.CompareAndSwap(false, true) {
		write(c, &message{Refused: "another process is following this one already"}, nil)
		return
	}
	defer o.taken.Store(false)
	o.Log.Info().Msg("another sluice is about to follow this one")
	err := write(c, &message{Socket: lockSocket}, o.Lock)
	for _, name := range o.Sockets.Names() {
		if file := o.Sockets.file(name); file != nil && err == nil {
			err = write(c, &message{Socket: name}, file)
		}
	}
	if err == nil {
		err = write(c, o.last(), nil)
	}
	var m *message
	if err == nil {
		m, _, err = read(c)
	}
	if err != nil || !m.Serve {
		if o.isEnding() {
			return
		}
		o.Log.Error().Err(err).Msg("the sluice that was to follow this one has failed to start: its own log says why; this one goes on")
		return
	}
	if !o.hand(m.Names) {
		write(c, &message{Refused: "it has ended just now: start this one again"}, nil)
		return
	}
	err = write(c, &message{Stopped: true}, nil)
	for err == nil { // until it ends
		if m, _, err = read(c); err == nil {
			o.Sockets.Retain(m.Names)
		}
	}
	if o.isEnding() {
		return
	}
	o.Log.Warn().Msg("the sluice that followed this one has ended; its sockets are kept for the next as long as this one lives")
}

// hand leaves accepting to another process, which has the sockets of those names, unless this one
// ends.
func (o *Offer) hand(names []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return false
	}
	o.Sockets.StopAccepting()
	o.Sockets.Retain(names)
	if !o.handed {
		o.handed = true
		close(o.Handed)
	}
	return true
}
