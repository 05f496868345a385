package libvirtrpc

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// memRig is a conversation whose ends hold little, in a synctest bubble.
type memRig struct {
	client, server *memConn
	ended          chan error
	conversation   *Conversation
}

func newMemRig(rules Rules, unwatched Side) *memRig {
	const socket = 8 << 10
	r := &memRig{ended: make(chan error, 1)}
	var near, far *memConn
	r.client, near = memPair(socket)
	r.server, far = memPair(socket)
	r.conversation = &Conversation{Client: near, Server: far, Rules: rules, Unwatched: unwatched}
	go func() { r.ended <- r.conversation.Run(context.Background()) }()
	return r
}

func (r *memRig) close() {
	r.client.Close()
	r.server.Close()
}

var (
	ping = packet(Head{ProgramKeepalive, 1, keepalivePing, TypeMessage, 0, StatusOK}, nil)
	pong = packet(Head{ProgramKeepalive, 1, keepalivePong, TypeMessage, 0, StatusOK}, nil)
)

func askKeepalive() []byte {
	return call(ProcConnectSupportsFeature, 1, string(binary.BigEndian.AppendUint32(nil, FeatureKeepalive)))
}

// alive plays a neighbour that answers pings, until its connection ends, and
// passes on what else it is told.
func alive(c *memConn, others chan<- Head) {
	for {
		h, _, err := tryPacket(c)
		switch {
		case err != nil:
			return
		case h.Program != ProgramKeepalive:
			others <- h
		case h.Procedure == keepalivePing:
			c.Write(pong)
		}
	}
}

// A ping is answered here, by each side's end, and goes no further.
func TestPingsEndHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemRig(testRules{}, NoSide)
		defer r.close()
		for _, side := range []*memConn{r.client, r.server} {
			side.Write(ping)
			if h, _ := readPacket(t, side); h != ParseHead(pong) {
				t.Errorf("a ping is answered with %+v", h)
			}
		}
		r.client.Write(call(5, 3, ""))
		if h, _ := readPacket(t, r.server); h.Procedure != 5 {
			t.Errorf("the daemon is told %+v", h)
		}
	})
}

// A client hears that all is alive however long the daemon takes nothing, also
// when the client's own pings wait behind what the daemon does not take; and a
// daemon hears so while the client takes nothing.
func TestAliveWhenNothingGoesOn(t *testing.T) {
	for _, unwatched := range []Side{ServerSide, ClientSide} {
		synctest.Test(t, func(t *testing.T) {
			r := newMemRig(testRules{}, unwatched)
			defer r.close()
			// A stream that goes both ways.
			r.client.Write(askKeepalive())
			h, _ := readPacket(t, r.server)
			r.server.Write(packet(h.reply(StatusOK), []byte{0, 0, 0, 1}))
			readPacket(t, r.client)
			const console = 201
			r.client.Write(call(console, 2, ""))
			h, _ = readPacket(t, r.server)
			r.server.Write(packet(h.reply(StatusOK), nil))
			readPacket(t, r.client)

			talks, serial := r.client, uint32(2)
			if unwatched == ClientSide {
				talks, serial = r.server, h.Serial
			}
			go func() {
				data := packet(Head{ProgramRemote, 1, console, TypeStream, serial, StatusContinue}, make([]byte, 4<<10))
				for {
					if _, err := talks.Write(data); err != nil {
						return
					}
				}
			}()
			last := time.Now()
			for range 200 {
				h, _ := readPacket(t, talks)
				if h != ParseHead(pong) {
					t.Fatalf("it hears %+v", h)
				}
				if since := time.Since(last); since > 2*time.Second {
					t.Fatalf("it hears nothing for %v", since)
				}
				last = time.Now()
			}
		})
	}
}

// Who says nothing is pinged as libvirt pings, and given up when libvirt would.
func TestSilence(t *testing.T) {
	for name, side := range map[string]Side{"client": ClientSide, "daemon": ServerSide} {
		synctest.Test(t, func(t *testing.T) {
			r := newMemRig(testRules{}, NoSide)
			defer r.close()
			others := make(chan Head, 1)
			silent, other := r.client, r.server
			if side == ServerSide {
				silent, other = r.server, r.client
			}
			go alive(other, others)
			begun := time.Now()
			if side == ClientSide {
				silent.Write(ping)
				readPacket(t, silent)
			}
			pings := 0
			for {
				h, _, err := tryPacket(silent)
				if err != nil {
					break
				}
				if h != ParseHead(ping) {
					t.Fatalf("the %s hears %+v", name, h)
				}
				if pings++; time.Since(begun).Round(time.Second) != time.Duration(pings)*pingInterval && side == ServerSide {
					t.Errorf("ping %d comes after %v", pings, time.Since(begun))
				}
			}
			if pings != pingCount {
				t.Errorf("the %s is pinged %d times", name, pings)
			}
			if took := time.Since(begun); took < Silence || took > Silence+2*unheardInterval {
				t.Errorf("the %s is given up after %v", name, took)
			}
			if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "no sign of life for 30s") {
				t.Error(err)
			}
		})
	}
}

// Whoever answers, or has never said that it could, is not given up; nor is one
// for whom somebody else looks.
func TestNotSilent(t *testing.T) {
	for name, c := range map[string]struct {
		knows, answers bool
		unwatched      Side
	}{
		"answers":            {true, true, NoSide},
		"knows no keepalive": {false, false, NoSide},
		"unwatched":          {true, false, ClientSide},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newMemRig(testRules{}, c.unwatched)
			defer r.close()
			others := make(chan Head, 10)
			go alive(r.server, others)
			if c.knows {
				r.client.Write(ping)
				readPacket(t, r.client)
			}
			heard := make(chan Head, 10)
			if c.answers {
				go alive(r.client, heard)
			}
			time.Sleep(24 * time.Hour) // by the bubble's clock
			r.client.Write(call(5, 7, ""))
			if h := <-others; h.Procedure != 5 {
				t.Errorf("%s: %+v", name, h)
			}
			select {
			case err := <-r.ended:
				t.Errorf("%s: ended with %v", name, err)
			default:
			}
		})
	}
}

// While a client waits for an answer that decides where a guest runs, its pings
// are answered although the daemon's last packet is cut short, and for ever.
func TestPingsBehindHalfAPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := &lostRules{begun: make(chan struct{}, 1), reply: make(chan *Reply), ended: make(chan struct{})}
		r := newMemRig(rules, ServerSide)
		defer r.close()
		r.client.Write(call(1003, 7, ""))
		readPacket(t, r.server)
		go r.server.Write(packet(Head{ProgramRemote, 1, 9, TypeMessage, 0, StatusOK}, make([]byte, 3*bufferSize))[:2*bufferSize])
		for range 1000 {
			time.Sleep(5 * time.Second) // by the bubble's clock: as often as libvirt pings
			r.client.Write(ping)
			h, _ := readPacket(t, r.client)
			if h == ParseHead(ping) { // at the very moment
				h, _ = readPacket(t, r.client)
			}
			if h != ParseHead(pong) {
				t.Fatalf("the client hears %+v", h)
			}
		}
	})
}
