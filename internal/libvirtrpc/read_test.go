package libvirtrpc

import (
	"context"
	"testing"
	"testing/synctest"
)

// readRules have call 1003's reply followed to its client.
type readRules struct {
	testRules
	read chan bool
}

func (r readRules) Understand(context.Context, *Call) Outcome {
	return Outcome{Read: func(read bool) { r.read <- read }}
}

// A client has read a reply once it has answered a ping that came behind it, and no other.
func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := readRules{read: make(chan bool, 1)}
		r := newMemRig(rules, NoSide)
		defer r.close()
		calls := make(chan Head, 1)
		go alive(r.server, calls)
		still := func(when string) {
			t.Helper()
			synctest.Wait()
			select {
			case <-rules.read:
				t.Error("it is said to have read the reply", when)
			default:
			}
		}
		next := func(want Head) {
			t.Helper()
			if h, _ := readPacket(t, r.client); h != want {
				t.Fatalf("the client hears %+v, want %+v", h, want)
			}
		}
		r.client.Write(pong) // to no ping
		for range 2 {        // after a silence
			next(ParseHead(ping))
		}
		r.client.Write(pong)
		r.client.Write(call(1003, 7, ""))
		h := <-calls
		r.server.Write(packet(h.reply(StatusOK), nil))
		next(Head{ProgramRemote, 1, 1003, TypeReply, 7, StatusOK})
		next(ParseHead(ping))
		still("at once")
		r.client.Write(pong)
		still("by its answer to a ping before")
		r.client.Write(pong)
		if !<-rules.read {
			t.Error("it is not said to have read the reply")
		}
	})
}

// One that answers no pings gets none, and nobody can tell.
func TestReadUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := readRules{read: make(chan bool, 1)}
		r := newMemRig(rules, NoSide)
		defer r.close()
		r.client.Write(call(1003, 7, ""))
		h, _ := readPacket(t, r.server)
		r.server.Write(packet(h.reply(StatusOK), nil))
		readPacket(t, r.client)
		if <-rules.read {
			t.Error("it is said to have read the reply")
		}
	})
}
