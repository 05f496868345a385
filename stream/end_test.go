package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// write writes until it can't.
func write(c net.Conn) {
	b := make([]byte, 64<<10)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// However a session ends while the hosts can still talk to each other, both
// know the same cause in the same words, and the handler too.
func TestEnd_bothEndsKnowTheSameCause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		with  func(h *hosts)
		end   func(t *testing.T, h *hosts, a, b *Session)
		code  string
		words []string
		not   string
	}{{
		name:  "done",
		end:   func(_ *testing.T, _ *hosts, a, _ *Session) { a.Finish() },
		code:  CodeDone,
		words: []string{"host-a: done"},
	}, {
		name: "opener fails",
		end: func(_ *testing.T, _ *hosts, a, _ *Session) {
			a.Fail(&Cause{Code: CodeLibvirt, Text: "operation aborted:\n\x1b[1mmigration out job: canceled by client"})
		},
		code:  CodeLibvirt,
		words: []string{"host-a: operation aborted: ?[1mmigration out job: canceled by client"},
	}, {
		name: "acceptor fails",
		end: func(_ *testing.T, _ *hosts, _, b *Session) {
			b.Fail(&Cause{Code: CodeLibvirt, Text: "internal error: process exited while connecting to monitor"})
		},
		code:  CodeLibvirt,
		words: []string{"host-b: internal error: process exited while connecting to monitor"},
	}, {
		name: "acceptor can't say that the work is done",
		end: func(_ *testing.T, _ *hosts, _, b *Session) {
			b.Finish()
		},
		code:  CodeRefused,
		words: []string{"host-b: done"},
	}, {
		name: "the first of several failures",
		end: func(_ *testing.T, _ *hosts, a, _ *Session) {
			a.Fail(&Cause{Code: CodeLibvirt, Text: "first"})
			a.Fail(&Cause{Code: CodeLibvirt, Text: "second"})
			a.Finish()
		},
		code:  CodeLibvirt,
		words: []string{"host-a: first"},
	}, {
		name: "opener's deadline",
		with: func(h *hosts) { h.opener.Limits.Length = 10 * time.Millisecond },
		code: CodeLimit, words: []string{"host-a: time limit of the session reached: 10ms (limits.session_timeout)"},
	}, {
		name: "acceptor's deadline",
		with: func(h *hosts) { h.terms.Limits.Length = 10 * time.Millisecond },
		code: CodeLimit, words: []string{"host-b: time limit of the session reached: 10ms (limits.session_timeout)"},
	}, {
		name: "acceptor's daemon stops",
		end:  func(_ *testing.T, h *hosts, _, _ *Session) { h.stop() },
		code: CodeShutdown, words: []string{"host-b: the daemon is stopping"},
	}, {
		name: "QEMU goes away on the acceptor's host",
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			appA, appB := h.channel(a, ChannelMemory)
			appB.Close()
			write(appA)
		},
		code: CodeLocal, words: []string{"host-b: channel memory-0: writing to QEMU's migration socket failed: ", "broken pipe"},
	}, {
		name: "QEMU goes away on the opener's host",
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			appA, appB := h.channel(a, ChannelDisk)
			appA.Close()
			write(appB)
		},
		code: CodeLocal, words: []string{"host-a: channel disk-0: ", "QEMU's disk (NBD) socket failed: "}, not: "close_notify",
	}, {
		name: "QEMU dies with bytes unread on the acceptor's host",
		end: func(t *testing.T, h *hosts, a, b *Session) {
			appA, appB := h.channel(a, ChannelMemory)
			appA.Write([]byte("unread"))
			until(t, "bytes at the other end", func() bool { _, n := b.Bytes(); return n == 6 })
			appB.Close()
		},
		code: CodeLocal, words: []string{"host-b: channel memory-0: reading from QEMU's migration socket failed: ", "connection reset"},
	}, {
		name: "a channel is cut on the way",
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			h.channel(a, ChannelMemory)
			h.gate.cut(1, false)
		},
		code: CodeLink, words: []string{"channel memory-0: the connection with host-", "without TLS's close_notify"},
	}, {
		name: "a channel is reset on the way",
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			h.channel(a, ChannelMemory)
			h.gate.cut(1, true)
		},
		code: CodeLink, words: []string{"channel memory-0: the connection with host-", "without TLS's close_notify"},
	}, {
		name: "the opener's byte limit",
		with: func(h *hosts) { h.opener.Limits.Bytes = 100_000 },
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			appA, appB := h.channel(a, ChannelMemory)
			go io.Copy(io.Discard, appB)
			write(appA)
		},
		code: CodeLimit, words: []string{"host-a: channel memory-0: byte limit of the session reached (100000, limits.session_bytes)"},
	}, {
		name: "the acceptor's byte limit",
		with: func(h *hosts) { h.terms.Limits.Bytes = 100_000 },
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			appA, appB := h.channel(a, ChannelMemory)
			go io.Copy(io.Discard, appB)
			write(appA)
		},
		code: CodeLimit, words: []string{"host-b: channel memory-0: byte limit of the session reached (100000, limits.session_bytes)"},
	}, {
		name: "the acceptor can't connect a channel",
		with: func(h *hosts) {
			h.handler.connect = func(context.Context, string, int) (net.Conn, error) {
				return net.Dial("unix", "/nonexistent/memory.sock")
			}
		},
		end: func(t *testing.T, _ *hosts, a, _ *Session) {
			_, local := socketPair(t)
			_, err := a.OpenChannel(t.Context(), ChannelMemory, local)
			if err != wait(t, a) {
				t.Errorf("OpenChannel: %v", err)
			}
		},
		code: CodeLocal, words: []string{"host-b: channel memory-0: connecting to QEMU's migration socket failed: ", "no such file"},
	}, {
		name: "the acceptor connects a channel too late",
		with: func(h *hosts) {
			h.terms.Limits.Handshake = 100 * time.Millisecond
			h.handler.connect = func(ctx context.Context, _ string, _ int) (net.Conn, error) {
				<-ctx.Done()
				return nil, errors.New("QEMU does not accept")
			}
		},
		end: func(t *testing.T, _ *hosts, a, _ *Session) {
			_, local := socketPair(t)
			a.OpenChannel(t.Context(), ChannelMemory, local)
		},
		code: CodeLocal, words: []string{"host-b: channel memory-0: ", "QEMU does not accept"},
	}, {
		name: "the opener gives up a channel",
		with: func(h *hosts) {
			h.handler.connect = func(ctx context.Context, _ string, _ int) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		end: func(t *testing.T, _ *hosts, a, _ *Session) {
			_, local := socketPair(t)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("the caller has gone"))
			defer cancel()
			a.OpenChannel(ctx, ChannelMemory, local)
		},
		code: CodeCancelled, words: []string{"host-a: channel memory-0: ", "the caller has gone"},
	}, {
		name: "a channel's connection is refused",
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			a.dial = func(ctx context.Context, _ string, _ bool) (relay.Conn, error) {
				_, err := net.Dial("tcp", "127.0.0.1:1")
				return nil, err
			}
			_, local := socketPair(t)
			a.OpenChannel(t.Context(), ChannelMemory, local)
		},
		code: CodeLink, words: []string{"host-a: channel memory-0: the connection with host-b (127.0.0.1:", "broke: dial tcp 127.0.0.1:1: connect: connection refused"},
	}, {
		name: "more channels than the opener allows",
		with: func(h *hosts) { h.opener.Limits.Channels = 1 },
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			h.channel(a, ChannelDisk)
			_, local := socketPair(t)
			a.OpenChannel(t.Context(), ChannelMemory, local)
		},
		code: CodeRefused, words: []string{"host-a: channel memory-0: channel limit of the session reached (1, limits.channels)"},
	}, {
		name: "more channels than the acceptor allows",
		with: func(h *hosts) { h.terms.Limits.Channels = 1 },
		end: func(t *testing.T, h *hosts, a, _ *Session) {
			h.channel(a, ChannelDisk)
			_, local := socketPair(t)
			a.OpenChannel(t.Context(), ChannelMemory, local)
		},
		code: CodeRefused, words: []string{"host-b: channel memory-0: channel limit of the session reached (1, limits.channels)"},
	}, {
		name: "the acceptor hears nothing, but is heard",
		with: func(h *hosts) { h.terms.Limits.Idle = 2 * time.Second },
		end:  func(_ *testing.T, h *hosts, _, _ *Session) { h.gate.stall(0) },
		code: CodeLink, words: []string{"host-b: channel control: nothing heard from host-a (127.0.0.1:", "for 2s (limits.idle_timeout): the link is down, or the host is frozen"},
	}, {
		name: "the opener hears nothing, but is heard",
		with: func(h *hosts) { h.opener.Limits.Idle = 2 * time.Second },
		end:  func(_ *testing.T, h *hosts, _, _ *Session) { h.gate.stall(1) },
		code: CodeLink, words: []string{"host-a: channel control: nothing heard from host-b (127.0.0.1:", "for 2s (limits.idle_timeout)"},
	}, {
		name: "the opener hears garbage",
		end: func(_ *testing.T, _ *hosts, _, b *Session) {
			b.control.mu.Lock()
			defer b.control.mu.Unlock()
			b.control.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		},
		code: CodeProtocol, words: []string{"host-a: channel control: host-b (127.0.0.1:", "sent what is not of this protocol: a frame claims 1213486160 bytes"},
	}, {
		name: "the acceptor hears garbage",
		end: func(_ *testing.T, _ *hosts, a, _ *Session) {
			a.control.mu.Lock()
			defer a.control.mu.Unlock()
			a.control.conn.Write([]byte("\x00\x00\x00\x01\xc1"))
		},
		code: CodeProtocol, words: []string{"host-b: channel control: host-a (127.0.0.1:", "a frame holds no msgpack map"},
	}, {
		name: "the opener hears a frame out of place",
		end: func(_ *testing.T, _ *hosts, _, b *Session) {
			b.control.write(&frame{Kind: kindCall, Name: "do"})
		},
		code: CodeProtocol, words: []string{"host-a: channel control: host-b sent a frame that has no place there: call"},
	}, {
		name: "the acceptor hears a frame out of place",
		end: func(_ *testing.T, _ *hosts, a, _ *Session) {
			a.control.write(&frame{Kind: kindReply})
		},
		code: CodeProtocol, words: []string{"host-b: channel control: host-a sent a frame that has no place there: reply"},
	}, {
		name: "the opener hears of a failure without a cause",
		end: func(_ *testing.T, _ *hosts, _, b *Session) {
			b.control.write(&frame{Kind: kindFailed})
		},
		code: CodeProtocol, words: []string{"host-a: channel control: host-b sent a frame that has no place there: failed"},
	}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, test.with)
			a, b := h.open(Info{})
			if test.end != nil {
				test.end(t, h, a, b)
			}
			ca, cb := wait(t, a), wait(t, b)
			expect(t, ca, test.code, test.words...)
			if ca.Error() != cb.Error() || ca.Code != cb.Code {
				t.Errorf("two causes:\n%v (%s)\n%v (%s)", ca, ca.Code, cb, cb.Code)
			}
			if c := receive(t, h.handler.ended); c != cb {
				t.Errorf("the handler was told %v", c)
			}
		})
	}
}

// A symptom waits for the reason, in whichever order they are known.
func TestEnd_symptomGivesWay(t *testing.T) {
	t.Parallel()
	symptom := func() *Cause { return &Cause{Code: CodeLink, Text: "a connection broke", symptom: true} }
	reason := func() *Cause { return &Cause{Code: CodeLocal, Text: "the reason"} }
	heard := func(a *Session) { until(t, "the opener hears", func() bool { return a.known() != nil }) }
	for name, end := range map[string]func(a, b *Session){
		"opener's own, later":             func(a, b *Session) { a.Fail(symptom()); a.Fail(reason()) },
		"opener's own, before":            func(a, b *Session) { a.Fail(reason()); a.Fail(symptom()) },
		"acceptor's own, later":           func(a, b *Session) { b.Fail(symptom()); b.Fail(reason()) },
		"acceptor knows the opener's":     func(a, b *Session) { a.Fail(symptom()); b.Fail(reason()) },
		"opener knows the acceptor's":     func(a, b *Session) { b.Fail(symptom()); heard(a); a.Fail(reason()) },
		"acceptor's own, once it is told": func(a, b *Session) { b.Fail(symptom()); heard(a); b.Fail(reason()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t)
			a, b := h.open(Info{})
			end(a, b)
			ca, cb := wait(t, a), wait(t, b)
			expect(t, ca, CodeLocal, "the reason")
			if ca.Error() != cb.Error() {
				t.Errorf("two causes:\n%v\n%v", ca, cb)
			}
		})
	}
}

// Where the hosts can't talk any more, each says what it has seen, and of whom.
func TestEnd_lostPeer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		idle  time.Duration
		end   func(h *hosts)
		words string
	}{
		{"killed", 0, func(h *hosts) { h.gate.cut(0, false) },
			"without TLS's close_notify: its sluice was killed, or something between cut it"},
		{"killed, with a reset", 0, func(h *hosts) { h.gate.cut(0, true) },
			"without TLS's close_notify: its sluice was killed, or something between cut it"},
		{"link down", 2 * time.Second, func(h *hosts) { h.gate.stall(0); h.gate.stall(1) },
			"for 2s (limits.idle_timeout): the link is down, or the host is frozen"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, func(h *hosts) { h.opener.Limits.Idle, h.terms.Limits.Idle = test.idle, test.idle })
			a, b := h.open(Info{})
			appA, appB := h.channel(a, ChannelMemory)
			test.end(h)
			expect(t, wait(t, a), CodeLink, "host-a: channel control: ", "host-b (127.0.0.1:", test.words)
			expect(t, wait(t, b), CodeLink, "host-b: channel control: ", "host-a (127.0.0.1:", test.words)
			for _, app := range []net.Conn{appA, appB} {
				if _, err := app.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a channel's socket: %v", err)
				}
			}
		})
	}
}

// A peer that is frozen while a session ends holds up nobody for long, whether
// its channels are open or half closed.
func TestEnd_frozenPeer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(t *testing.T, a, b *Session)
		of   string
	}{
		{"opener is done", func(_ *testing.T, a, _ *Session) { a.Finish() }, "a"},
		{"opener fails", func(_ *testing.T, a, _ *Session) { a.Fail(&Cause{Code: CodeLibvirt, Text: "x"}) }, "a"},
		{"opener opens a channel", func(t *testing.T, a, _ *Session) {
			_, local := socketPair(t)
			a.limits.Handshake = 300 * time.Millisecond
			_, err := a.OpenChannel(t.Context(), ChannelDisk, local)
			expect(t, err, CodeTimeout, "host-a: channel disk-0: host-b (127.0.0.1:", "did not answer within 300ms (limits.handshake_timeout)")
		}, "a"},
		{"acceptor fails", func(_ *testing.T, _, b *Session) { b.Fail(&Cause{Code: CodeLibvirt, Text: "x"}) }, "b"},
		{"half closed, opener fails", func(_ *testing.T, a, _ *Session) { a.Fail(&Cause{Code: CodeLibvirt, Text: "x"}) }, "a"},
		{"half closed, acceptor fails", func(_ *testing.T, _, b *Session) { b.Fail(&Cause{Code: CodeLibvirt, Text: "x"}) }, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, func(h *hosts) { h.opener.Limits.Idle, h.terms.Limits.Idle = 4*time.Second, 4*time.Second })
			a, b := h.open(Info{})
			appA, appB := h.channel(a, ChannelMemory)
			h.gate.stall(0)
			h.gate.stall(1)
			if strings.HasPrefix(test.name, "half closed") {
				appA.CloseWrite()
				appB.CloseWrite()
			}
			started := time.Now()
			test.end(t, a, b)
			s := a
			if test.of == "b" {
				s = b
			}
			wait(t, s)
			if d := time.Since(started); d > 10*time.Second {
				t.Errorf("the end took %v", d)
			}
		})
	}
}
