package libvirtrpc

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"sync"
	"testing"
)

// FuzzPackets: whatever comes, what passes is what came, in its order.
func FuzzPackets(f *testing.F) {
	f.Add(append(call(1, 1, "pass"), call(2, 2, "take")...), 7)
	f.Add(call(3, 1, "skip")[:20], 1)
	f.Add([]byte{0, 0, 0, 27}, 3)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		var got bytes.Buffer
		in := newPacketReader(&pieces{data, max(1, piece%100)}, &packetWriter{w: &got})
		var want []byte
		at := 0
		for {
			h, n, err := in.head()
			if err != nil {
				if err == io.EOF && at != len(data) {
					t.Fatalf("an orderly end at %d of %d", at, len(data))
				}
				break
			}
			if n < headSize || n > MaxPacket {
				t.Fatalf("a packet of %d bytes", n)
			}
			switch h.Procedure % 3 {
			case 0:
				err = in.skip(n)
			case 1:
				err = in.pass(n)
				if err == nil {
					want = append(want, data[at:at+n]...)
				}
			case 2:
				var body []byte
				if body, err = in.take(n); err == nil && !bytes.Equal(packet(h, body), data[at:at+n]) {
					t.Fatal("a packet is not put together as it was")
				}
			}
			if err != nil {
				if at+n <= len(data) {
					t.Fatalf("a whole packet gives %v", err)
				}
				return
			}
			at += n
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%q passed, want %q", got.Bytes(), want)
		}
	})
}

type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

// FuzzConversation: whatever a client says, a daemon is told packets of kinds that clients send,
// each call with a serial of its own; and whatever a daemon says, the conversation ends once both
// have.
func FuzzConversation(f *testing.F) {
	f.Add(append(call(1, 1, "pass"), call(1000, 2, "held")...), packet(Head{ProgramRemote, 1, 1, TypeReply, 1, StatusOK}, nil))
	f.Add(append(call(upload, 1, ""), streamPacket(upload, 1, StatusContinue, []byte("data"))...), streamPacket(upload, 1, StatusError, nil))
	f.Add(append(call(1003, 7, "changed"), ping...), packet(Head{ProgramRemote, 1, 2003, TypeReply, 1, StatusError}, (&Error{ErrRPC, "no"}).encode()))
	f.Add(packet(Head{ProgramRemote, 1, 309, TypeCallWithFDs, 9, StatusOK}, []byte{0, 0, 0, 2, 'b', 'o', 'd', 'y', 0, 0}), ping)
	f.Add(askKeepalive(), packet(Head{ProgramRemote, 1, 107, TypeMessage, 0, StatusOK}, []byte("event")))
	f.Fuzz(func(t *testing.T, fromClient, fromServer []byte) {
		client, near := memPair(1 << 10)
		server, far := memPair(1 << 10)
		c := &Conversation{Client: near, Server: far, Rules: testRules{}, Budgets: []*Budget{NewBudget(2)}}
		var ends sync.WaitGroup
		ends.Go(func() { c.Run(context.Background()) })
		ends.Go(func() {
			client.Write(fromClient)
			client.CloseWrite()
		})
		ends.Go(func() { io.Copy(io.Discard, client) })
		ends.Go(func() {
			server.Write(fromServer)
			server.CloseWrite()
		})
		ends.Go(func() {
			defer server.Close()
			used := map[uint32]bool{}
			for {
				h, _, err := tryPacket(server)
				switch {
				case err != nil:
					return
				case h.Program == ProgramKeepalive:
				case h.Type == TypeStream || h.Type == TypeStreamHole:
					if !used[h.Serial] {
						t.Errorf("a packet of no call's stream: %+v", h)
					}
				case h.Type != TypeCall:
					t.Errorf("a daemon is told %+v", h)
				case used[h.Serial]:
					t.Errorf("a serial for two calls: %+v", h)
				default:
					used[h.Serial] = true
				}
			}
		})
		ends.Wait()
		if c.places.any() {
			t.Error("a place is not given back")
		}
	})
}

// FuzzCalls: what is understood is the same once it is written again.
func FuzzCalls(f *testing.F) {
	f.Add(somePrepare.Encode())
	f.Add((&Finish{Params: somePrepare.Params, Cookie: []byte("c")}).Encode())
	f.Add((&Confirm{Domain: Domain{Name: "g"}, Params: somePrepare.Params, Cookie: []byte("c")}).Encode())
	f.Add((&Prepared{Cookie: []byte("abc"), URI: text("unix:///x")}).Encode())
	f.Add((&Open{Name: text("qemu:///system")}).Encode())
	f.Add((&Error{ErrRPC, "message"}).encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := DecodePrepare(body); err == nil {
			if again, err := DecodePrepare(p.Encode()); err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v and %+v, %v", p, again, err)
			}
		}
		if p, err := DecodePrepared(body); err == nil {
			if again, err := DecodePrepared(p.Encode()); err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v and %+v, %v", p, again, err)
			}
		}
		if p, err := DecodeFinish(body); err == nil {
			if again, err := DecodeFinish(p.Encode()); err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v and %+v, %v", p, again, err)
			}
		}
		if p, err := DecodeConfirm(body); err == nil {
			if again, err := DecodeConfirm(p.Encode()); err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v and %+v, %v", p, again, err)
			}
		}
		if p, err := DecodeOpen(body); err == nil {
			if again, err := DecodeOpen(p.Encode()); err != nil || !reflect.DeepEqual(p, again) {
				t.Fatalf("%+v and %+v, %v", p, again, err)
			}
		}
		if cookie, err := DecodePerformed(body); err == nil {
			if again, err := DecodePerformed(EncodePerformed(cookie)); err != nil || !bytes.Equal(again, cookie) {
				t.Fatalf("%q and %q, %v", cookie, again, err)
			}
		}
		for _, p := range []Procedure{ProcCompareCPU, ProcBaselineCPU, ProcDomainCapabilities, ProcCompareHypervisorCPU, ProcBaselineHypervisorCPU} {
			if q, err := DecodeCPUs(p, body); err == nil && len(q.XML) > maxCPUs {
				t.Fatalf("%d CPUs", len(q.XML))
			}
		}
		DecodeBegun(body)
		DecodeBegin(body)
		DecodePerform(body)
		DecodePrepare3(body)
		DecodeFinish3(body)
		DecodeAbortJob(body)
		DecodeAbortJobFlags(body)
		DecodeFeature(body)
		DecodeError(body)
	})
}

// FuzzCookie: only the port changes, and a mark that is put into a cookie comes out of it again.
func FuzzCookie(f *testing.F) {
	f.Add([]byte("<qemu-migration>\n  <name>g</name>\n  <nbd/>\n</qemu-migration>\n\x00"))
	f.Add([]byte("<qemu-migration><nbd port='1'><disk target='vda'/></nbd></qemu-migration>"))
	f.Fuzz(func(t *testing.T, cookie []byte) {
		if before, marked, err := Unmarked(cookie); err == nil && !marked && len(cookie) < maxCookie/2 {
			without, marked, err := Unmarked(Mark(cookie))
			if marked && (err != nil || !bytes.Equal(without, before)) {
				t.Fatalf("%q comes out as %q, %v", before, without, err)
			}
		}
		out, changed, err := SetNBDPort(cookie, 1234)
		if err != nil || !changed {
			return
		}
		again, changed, err := SetNBDPort(out, 1234)
		if err != nil || !changed || !bytes.Equal(again, out) {
			t.Fatalf("%q becomes %q and then %q, %v, %v", cookie, out, again, changed, err)
		}
	})
}
