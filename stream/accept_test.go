package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// What an acceptor refuses, in which words, whatever the rest of the frame.
func TestAcceptor_refuses(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) {
		h.terms.Accept = func(_ context.Context, info Info) (Handler, func(*Session), error) {
			if info.Guest == "forbidden" {
				return nil, nil, errors.New("guest forbidden may not come here")
			}
			return h.handler, func(s *Session) { h.accepted <- s }, nil
		}
	})
	live, b := h.open(Info{})
	plain, _ := h.open(Info{Clear: true})
	over, _ := h.open(Info{})
	over.Finish()
	wait(t, over)
	until(t, "the ended session's removal", func() bool { return h.acceptor.live(over.ID) == nil })
	h.channel(live, ChannelMemory)

	for _, test := range []struct {
		name string
		as   string // empty: without TLS
		with func(f *frame)
		text string
	}{
		{"a ping", "host-a", func(f *frame) { f.Kind = kindPing }, "the first frame is of kind ping, not open"},
		{"an accept", "host-a", func(f *frame) { f.Kind = kindAccept }, "the first frame is of kind accept, not open"},
		{"no version", "host-a", func(f *frame) { f.Versions = nil }, "protocol versions [] are offered, and only 1 is spoken here"},
		{"other versions", "host-a", func(f *frame) { f.Versions = versions{0, 2, 3} }, "protocol versions [0 2 3] are offered, and only 1 is spoken here: update the older sluice"},
		{"too many versions", "host-a", func(f *frame) { f.Versions = make(versions, 33) }, "33 versions where 32 are the most"},
		{"no session ID", "host-a", func(f *frame) { f.Session = "" }, `"" is no session ID`},
		{"short session ID", "host-a", func(f *frame) { f.Session = f.Session[2:] }, "is no session ID"},
		{"session ID in capitals", "host-a", func(f *frame) { f.Session = strings.Repeat("AB", 16) }, "is no session ID"},
		{"session ID that is a path", "host-a", func(f *frame) { f.Session = "../../../../etc/passwd" }, `"../../../../etc/passwd" is no session ID`},
		{"no channel", "host-a", func(f *frame) { f.Channel = "" }, `channels of kind "" are unknown here`},
		{"unknown channel", "host-a", func(f *frame) { f.Channel = "\x1b[2Jmemory" }, `channels of kind "\x1b[2Jmemory" are unknown here`},
		{"no such session", "host-a", func(f *frame) { f.Session = strings.Repeat("0", 32) }, "there is no session 00000000000000000000000000000000 of this peer"},
		{"another peer's session", "host-c", func(f *frame) {}, "there is no session " + live.ID + " of this peer"},
		{"an ended session", "host-a", func(f *frame) { f.Session = over.ID }, "there is no session " + over.ID + " of this peer"},
		{"the next but one", "host-a", func(f *frame) { f.Number = 2 }, "channel memory-2: the channel comes out of order: memory-1 is next"},
		{"one that was", "host-a", func(f *frame) { f.Number = 0 }, "channel memory-0: the channel comes out of order: memory-1 is next"},
		{"a negative one", "host-a", func(f *frame) { f.Number = -1 }, "no channel has the number -1"},
		{"the second of a kind that has no first", "host-a", func(f *frame) { f.Channel = ChannelDisk }, "disk-0 is next"},
		{"a session that is there", "host-a", func(f *frame) { f.Channel = channelControl }, "session " + live.ID + " exists already"},
		{"a session that is there, of another", "host-c", func(f *frame) { f.Channel = channelControl }, "session " + live.ID + " exists already"},
		{"a session by rule", "host-a", func(f *frame) {
			f.Channel, f.Session, f.Guest = channelControl, NewID(), "forbidden"
		}, "guest forbidden may not come here"},
		{"a guest whose name steers terminals", "host-a", func(f *frame) {
			f.Channel, f.Session, f.Guest = channelControl, NewID(), "\x1b[2J"
		}, "the session's guest has more than 256 bytes, or some that can't be printed"},
		{"a long word for the work", "host-a", func(f *frame) {
			f.Channel, f.Session, f.Work = channelControl, NewID(), strings.Repeat("x", 257)
		}, "the session's work has more than 256 bytes"},
		{"a question", "host-a", func(f *frame) { f.Channel = channelAsk }, "no questions are answered here"},
		{"clear: a control channel", "", func(f *frame) { f.Channel, f.Session = channelControl, NewID() }, "the channel control needs TLS"},
		{"clear: a question", "", func(f *frame) { f.Channel = channelAsk }, "the channel ask needs TLS"},
		{"clear: a session with TLS", "", func(f *frame) {}, "there is no session " + live.ID + " of this peer"},
		{"clear: no such session", "", func(f *frame) { f.Session = strings.Repeat("0", 32) }, "there is no session"},
		{"clear: no token", "", func(f *frame) { f.Session, f.Number = plain.ID, 0 }, "there is no session " + plain.ID + " of this peer"},
		{"clear: half a token", "", func(f *frame) { f.Session, f.Number, f.Token = plain.ID, 0, plain.token[:16] }, "there is no session"},
		{"clear: another token", "", func(f *frame) { f.Session, f.Number, f.Token = plain.ID, 0, make([]byte, 32) }, "there is no session"},
		{"TLS: a session in clear", "host-a", func(f *frame) { f.Session, f.Number, f.Token = plain.ID, 0, plain.token }, "session " + plain.ID + " was opened for channels without TLS"},
		{"TLS: another's session in clear", "host-c", func(f *frame) { f.Session, f.Number, f.Token = plain.ID, 0, plain.token }, "there is no session " + plain.ID + " of this peer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := openFrame(ChannelMemory)
			f.Session, f.Number = live.ID, 1
			test.with(f)
			conn := h.raw(test.as)
			answer := say(t, conn, f)
			if answer.Kind != kindRefuse || answer.Cause == nil || answer.Host != "host-b" {
				t.Fatalf("%+v", answer)
			}
			if answer.Cause.Host != "host-b" || !strings.Contains(answer.Cause.Error(), test.text) {
				t.Errorf("%+v, want host-b and %q", answer.Cause, test.text)
			}
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the refusal: %v", err)
			}
			conn.Close()
			if err := receive(t, h.served); err == nil && test.name != "an ended session" {
				until(t, "the refusal's error", func() bool { err = receive(t, h.served); return err != nil })
			}
		})
	}
	// None of it touched the sessions that live, and these only have what was opened by right.
	if n := len(b.Channels()); n != 1 {
		t.Errorf("%d channels", n)
	}
	h.channel(live, ChannelMemory)
	h.channel(plain, ChannelMemory)
}

// A session that has not been accepted yet has no channels.
func TestAcceptor_noChannelBeforeAccept(t *testing.T) {
	t.Parallel()
	asked, mayAccept := make(chan Info, 1), make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.terms.Accept = func(_ context.Context, info Info) (Handler, func(*Session), error) {
			asked <- info
			<-mayAccept
			return h.handler, func(s *Session) { h.accepted <- s }, nil
		}
	})
	opened := make(chan *Session, 1)
	go func() {
		s, err := h.opener.Open(t.Context(), Info{ID: NewID()})
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	f := openFrame(ChannelMemory)
	f.Session = receive(t, asked).ID
	if a := say(t, h.raw("host-a"), f); a.Kind != kindRefuse || !strings.Contains(a.Cause.Text, "there is no session") {
		t.Errorf("%+v", a)
	}
	close(mayAccept)
	s := receive(t, opened)
	a, b := h.channel(s, ChannelMemory)
	a.Close()
	b.Close()
	s.Finish()
	wait(t, s)
}

// What a connection says at first, if it is no frame.
func TestAcceptor_badFirstFrames(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	for _, test := range []struct {
		name string
		says []byte
		text string // of the refusal
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: host-b\r\n\r\n"), "a frame claims 1195725856 bytes where 1 to 65536 are allowed"},
		{"libvirt", unhex("0000001c 20008086 00000001 00000042 00000000 00000001 00000000 00000000"), "a frame holds no msgpack map"},
		{"one byte too many", binary.BigEndian.AppendUint32(nil, MaxOpen+1), "a frame claims 65537 bytes"},
		{"nothing", make([]byte, 4), "a frame claims 0 bytes"},
		{"unknown kind", append(unhex("0000000c 81 a4 6b696e64 a5"), "hello"...), `a frame of unknown kind "hello"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := h.raw("host-a")
			conn.Write(test.says)
			a := hear(t, conn)
			if a.Kind != kindRefuse || a.Cause.Code != CodeProtocol || !strings.Contains(a.Cause.Text, test.text) {
				t.Errorf("%+v, %v", a, a.Cause)
			}
			conn.Close()
			if err := receive(t, h.served); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "first frame of host-a (127.0.0.1:") {
				t.Errorf("%v", err)
			}
		})
	}
	for _, cut := range []int{0, 2, 4, 10} {
		conn := h.raw("host-a")
		b, _ := encodeFrame(openFrame(channelControl), MaxOpen)
		conn.Write(b[:cut])
		conn.Close()
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if err := receive(t, h.served); !errors.Is(err, want) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	stranger := h.raw("")
	stranger.Write([]byte("GET / HTTP/1.1\r\nHost: host-b\r\n\r\n"))
	if b, err := io.ReadAll(stranger); len(b) > 0 || err == nil {
		t.Errorf("a stranger was told %q, and then %v", b, err)
	}
	if err := receive(t, h.served); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "first frame of a connection in clear (127.0.0.1:") {
		t.Errorf("%v", err)
	}
	conn := h.raw("host-a")
	conn.Write([]byte{0, 0})
	h.gate.cut(0, false)
	if err := receive(t, h.served); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("killed: %v", err)
	}
}

// A first frame that comes slowly, or never, is not waited for.
func TestAcceptor_slowFirstFrame(t *testing.T) {
	t.Parallel()
	for _, as := range []string{"host-a", ""} {
		t.Run("as "+nameOr(as, "nobody"), func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, func(h *hosts) { h.terms.Limits.Handshake = 200 * time.Millisecond })
			conn := h.raw(as)
			served := make(chan error)
			go func() { served <- receive(t, h.served) }()
			b, _ := encodeFrame(openFrame(channelControl), MaxOpen)
			drip := time.NewTicker(20 * time.Millisecond)
			defer drip.Stop()
			for i := 0; ; i++ {
				select {
				case <-drip.C:
					conn.Write(b[i : i+1])
					continue
				case err := <-served:
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%v", err)
					}
				}
				break
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("it was answered")
			}
		})
	}
}

// A daemon that stops does not wait for first frames.
func TestAcceptor_stopsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.raw("host-a").Write([]byte{0})
	until(t, "the connection", func() bool { h.gate.mu.Lock(); defer h.gate.mu.Unlock(); return len(h.gate.pairs) == 1 })
	h.stop()
	if err := receive(t, h.served); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAcceptor_refuseUnread(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	refused := make(chan struct{})
	o := fakePeer(t, func(conn relay.Conn) {
		defer close(refused)
		h.acceptor.Refuse(conn, errors.New("host-a is not in the configuration (peers)"))
	})
	_, err := o.Open(t.Context(), Info{ID: NewID(), Guest: strings.Repeat("x", 60000)})
	expect(t, err, CodeRefused, "host-b: host-a is not in the configuration (peers)")
	receive(t, refused)
}

// A peer that was refused and neither reads nor closes is not waited for.
func TestAcceptor_refusedPeerStays(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	conn := h.raw("host-a")
	send(t, conn, &frame{Kind: kindPing})
	flood := make([]byte, 2*MaxOpen)
	go conn.Write(flood)
	started := time.Now()
	if err := receive(t, h.served); err == nil {
		t.Error("not refused")
	}
	if d := time.Since(started); d > writeTimeout {
		t.Errorf("Serve went on for %v", d)
	}
}
