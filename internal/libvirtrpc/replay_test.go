package libvirtrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
)

// testdata/p2p holds what libvirt 9.0.0 said to another while it migrated a
// guest with a disk, peer to peer: each side's bytes.
func recording(t *testing.T, side string) (packets [][]byte) {
	t.Helper()
	whole, err := os.ReadFile("testdata/p2p/" + side)
	if err != nil {
		t.Fatal(err)
	}
	for rest := whole; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		packets = append(packets, rest[:n])
		rest = rest[n:]
	}
	return packets
}

// replayRules understand what they can, and put it together again.
type replayRules struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[Procedure]int
}

func (r *replayRules) Busy() bool { return false }

func (r *replayRules) Judge(h Head) (bool, *Error) {
	switch h.Procedure {
	case ProcConnectOpen, ProcConnectSupportsFeature, ProcMigratePrepare3Params, ProcMigrateFinish3Params:
		return h.Program == ProgramRemote, nil
	}
	return false, Allowed(h)
}

func (r *replayRules) Understand(_ context.Context, c *Call) Outcome {
	r.mu.Lock()
	r.seen[c.Procedure]++
	r.mu.Unlock()
	var again []byte
	var err error
	o := Outcome{}
	switch c.Procedure {
	case ProcConnectOpen:
		var call *Open
		if call, err = DecodeOpen(c.Body); err == nil {
			again = call.Encode()
		}
	case ProcConnectSupportsFeature:
		_, err = DecodeFeature(c.Body)
		again = c.Body
	case ProcMigratePrepare3Params:
		var call *Prepare
		if call, err = DecodePrepare(c.Body); err == nil {
			again = call.Encode()
			if text, is, err := call.Params.Text(ParamDestXML); !is || err != nil || !bytes.Contains([]byte(text), []byte("<name>g</name>")) {
				r.t.Errorf("the guest is %q, %v", text, err)
			}
		}
		o.Reply = func(reply *Reply) {
			p, err := DecodePrepared(reply.Body)
			if err != nil || !bytes.Equal(p.Encode(), reply.Body) || p.URI == nil {
				r.t.Errorf("Prepare's reply: %+v, %v", p, err)
				return
			}
			if port, err := NBDPort(p.Cookie); port == 0 || err != nil {
				r.t.Errorf("the cookie's port is %d, %v", port, err)
			}
			changed, is, err := SetNBDPort(p.Cookie, 7)
			if port, _ := NBDPort(changed); !is || err != nil || port != 7 {
				r.t.Errorf("the cookie becomes %q, %v", changed, err)
			}
		}
	case ProcMigrateFinish3Params:
		var call *Finish
		if call, err = DecodeFinish(c.Body); err == nil {
			again = call.Encode()
		}
	}
	if err != nil || !bytes.Equal(again, c.Body) {
		r.t.Errorf("%s: %v, %q becomes %q", c.Procedure, err, c.Body, again)
	}
	o.Body = again
	return o
}

// A recorded conversation goes through as it was, for both ends, with what is understood taken
// apart and put together again, and all of it allowed to a caller who may only migrate.
func TestReplay(t *testing.T) {
	calls := recording(t, "client")
	replies := recording(t, "daemon")
	rules := &replayRules{t: t, seen: map[Procedure]int{}}
	r := newRig(t, rules)
	calls, replies = slices.DeleteFunc(calls, isKeepalive), slices.DeleteFunc(replies, isKeepalive)
	// By the serial of a call: what serial it has come with.
	come := make(map[uint32]chan uint32)
	for _, p := range calls {
		if h := ParseHead(p); h.Type == TypeCall {
			come[h.Serial] = make(chan uint32, 1)
		}
	}
	var ends sync.WaitGroup
	ends.Go(func() { // the client
		for _, p := range calls {
			r.client.Write(p)
		}
	})
	var toDaemon, toClient [][]byte
	ends.Go(func() { // the daemon reads
		left := slices.Clone(calls)
		for range calls {
			p := wholePacket(t, r.server)
			toDaemon = append(toDaemon, withSerial(p, 0))
			i := slices.IndexFunc(left, func(c []byte) bool { return bytes.Equal(withSerial(c, 0), withSerial(p, 0)) })
			if i < 0 {
				t.Errorf("the daemon gets what nobody has said: %+v", ParseHead(p))
				continue
			}
			if h := ParseHead(left[i]); h.Type == TypeCall {
				come[h.Serial] <- ParseHead(p).Serial
			}
			left = slices.Delete(left, i, i+1)
		}
	})
	ends.Go(func() { // and answers
		for _, p := range replies {
			if h := ParseHead(p); h.Type == TypeReply && come[h.Serial] != nil {
				p = withSerial(p, <-come[h.Serial])
			}
			r.server.Write(p)
		}
	})
	ends.Go(func() {
		for range replies {
			toClient = append(toClient, wholePacket(t, r.client))
		}
	})
	ends.Wait()
	r.client.Close()
	r.server.Close()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	for i := range calls {
		calls[i] = withSerial(calls[i], 0)
	}
	for name, c := range map[string]struct{ got, want [][]byte }{"the daemon": {toDaemon, calls}, "the client": {toClient, replies}} {
		slices.SortFunc(c.got, bytes.Compare) // what is held may be overtaken
		slices.SortFunc(c.want, bytes.Compare)
		if !slices.EqualFunc(c.got, c.want, bytes.Equal) {
			t.Errorf("%s gets something else than was said", name)
		}
	}
	if rules.seen[ProcMigratePrepare3Params] != 1 || rules.seen[ProcMigrateFinish3Params] != 1 || rules.seen[ProcConnectOpen] != 1 {
		t.Errorf("calls understood: %v", rules.seen)
	}
}

func isKeepalive(p []byte) bool { return ParseHead(p).Program == ProgramKeepalive }

func withSerial(p []byte, serial uint32) []byte {
	p = bytes.Clone(p)
	binary.BigEndian.PutUint32(p[serialAt:], serial)
	return p
}

func wholePacket(t *testing.T, c io.Reader) []byte {
	var length [lengthSize]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		t.Error(err)
		return make([]byte, headSize)
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	copy(b, length[:])
	if _, err := io.ReadFull(c, b[lengthSize:]); err != nil {
		t.Error(err)
	}
	return b
}
