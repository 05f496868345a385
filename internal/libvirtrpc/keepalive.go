package libvirtrpc

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Procedures of the keepalive program.
const (
	keepalivePing Procedure = 1
	keepalivePong Procedure = 2
)

// libvirt's defaults (keepalive_interval and keepalive_count in libvirtd.conf and qemu.conf): a
// ping after each interval without a packet, and an end after one interval more than so many pings.
const (
	pingInterval = 5 * time.Second
	pingCount    = 5
)

// Silence is how long a neighbour may say nothing before it is given up.
const Silence = pingInterval * (pingCount + 1)

// unheardInterval is how often a neighbour whose packets wait here hears that
// its end of the connection is alive all the same. Whatever it may have set as
// its interval, one second is the least.
const unheardInterval = time.Second

// keepalive is libvirt's keepalive protocol (src/rpc/virkeepalive.c) with one
// neighbour. Pings never go further: whether a neighbour is alive says nothing
// of the one behind it, and libvirtd resumes a guest at its source, and destroys
// one at its destination, once its pings are not answered.
type keepalive struct {
	known      atomic.Bool // it knows the protocol; one that does not would break off
	ping, pong atomic.Bool // to be said
	wake       chan struct{}

	mu           sync.Mutex
	pings, pongs int // said to it, and heard from it: it answers each ping, in order
	asked        []readQuestion
}

// readQuestion is answered with the ping of that number.
type readQuestion struct {
	ping int
	tell func(bool)
}

// askRead has tell told once the neighbour has read all that was written to it before. libvirt's
// client takes packets in order: a reply is its caller's before it answers a ping behind that
// (virNetClientIOHandleInput). tell must not wait.
func (k *keepalive) askRead(tell func(bool)) {
	if !k.known.Load() {
		tell(false)
		return
	}
	k.mu.Lock()
	k.asked = append(k.asked, readQuestion{k.pings + 1, tell}) // the last one may have come before
	k.mu.Unlock()
	k.say(&k.ping)
}

// answered counts an answer to a ping. One that answers none counts for nothing.
func (k *keepalive) answered() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pongs = min(k.pongs+1, k.pings)
	for len(k.asked) > 0 && k.asked[0].ping <= k.pongs {
		k.asked[0].tell(true)
		k.asked = k.asked[1:]
	}
}

func (k *keepalive) say(what *atomic.Bool) {
	what.Store(true)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// hear takes a packet of the keepalive program.
func (k *keepalive) hear(h Head) {
	k.known.Store(true)
	switch {
	case h.Type != TypeMessage:
	case h.Procedure == keepalivePing:
		k.say(&k.pong)
	case h.Procedure == keepalivePong:
		k.answered()
	}
}

func keepalivePacket(p Procedure) Head {
	return Head{Program: ProgramKeepalive, Version: 1, Procedure: p, Type: TypeMessage}
}

// speak says what is to be said, until ended. It has a goroutine of its own:
// the one that reads must go on when nothing more can be written, since a daemon
// that can't get rid of its replies stops reading.
func (n *neighbour) speak(ended <-chan struct{}) {
	for {
		select {
		case <-n.life.wake:
		case <-ended:
			return
		}
		// Whoever reads from it sees why something can't be said.
		if n.life.pong.Swap(false) {
			n.out.packet(keepalivePacket(keepalivePong), nil)
		}
		if n.life.ping.Swap(false) {
			n.life.mu.Lock()
			n.life.pings++
			n.life.mu.Unlock()
			n.out.packet(keepalivePacket(keepalivePing), nil)
		}
	}
}

// listen pings a neighbour that is watched when it says nothing, and gives it up
// after Silence. One whose packets wait here, because those before them can't go
// on, hears from us unasked: any packet counts as a sign of life.
func (n *neighbour) listen(ended <-chan struct{}, watched bool, giveUp func(error)) {
	tick := time.NewTicker(unheardInterval)
	defer tick.Stop()
	var reads uint64
	var quiet time.Duration
	for {
		select {
		case <-tick.C:
		case <-ended:
			return
		}
		now, state := n.in.reads.Load(), n.in.state.Load()
		switch {
		case state == readingEnded:
			return
		case now != reads:
			reads, quiet = now, 0
		case state == readingPaused:
			quiet = 0
			if n.life.known.Load() {
				n.life.say(&n.life.pong)
			}
		case watched && n.life.known.Load():
			if quiet += unheardInterval; quiet >= Silence {
				giveUp(fmt.Errorf("%s has given no sign of life for %v: it hangs, or is stopped", n.name, Silence))
				return
			}
			if quiet%pingInterval == 0 {
				n.life.say(&n.life.ping)
			}
		}
	}
}
