package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// Channels reach the acceptor's handler in the order in which OpenChannel was called, whatever the
// network does to their connections, and carry what they should.
func TestChannel_orderIsKept(t *testing.T) {
	t.Parallel()
	for name, clear := range map[string]bool{"TLS": false, "clear": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 12
			var dials atomic.Int32
			h := newHosts(t, func(h *hosts) {
				dial := h.opener.Dial
				h.opener.Dial = func(ctx context.Context, session string, clear bool) (relay.Conn, error) {
					// The later, the faster.
					late := time.NewTimer(time.Duration(n-dials.Add(1)) * 3 * time.Millisecond)
					<-late.C
					return dial(ctx, session, clear)
				}
			})
			s, _ := h.open(Info{Clear: clear})
			var opening sync.WaitGroup
			var apps []*net.UnixConn
			kinds := []string{ChannelMemory, ChannelMemory, ChannelDisk}
			for i := range n {
				app, local := socketPair(t)
				apps = append(apps, app)
				app.Write([]byte{byte(i)})
				opening.Go(func() {
					if c, err := s.OpenChannel(t.Context(), kinds[i%3], local); err != nil {
						t.Error(err)
					} else if c.Kind != kinds[i%3] {
						t.Errorf("%s instead of %s", c.Name(), kinds[i%3])
					}
				})
				until(t, "the call", func() bool { return len(s.Channels()) == i+1 })
			}
			next := make(map[string]int)
			var far []*net.UnixConn
			for range n {
				c := receive(t, h.handler.connected)
				far = append(far, c.app)
				if c.number != next[c.kind] {
					t.Errorf("%s-%d reached its end where %d was next", c.kind, c.number, next[c.kind])
				}
				next[c.kind]++
				want := 3 * c.number // of the disks
				if c.kind == ChannelMemory {
					want = c.number/2*3 + c.number%2
				} else {
					want += 2
				}
				b := make([]byte, 1)
				if _, err := io.ReadFull(c.app, b); err != nil || int(b[0]) != want {
					t.Errorf("%s-%d has what was the %dth, %v; want the %dth", c.kind, c.number, b[0], err, want)
				}
			}
			opening.Wait()
			for _, c := range s.Channels() {
				used := c.TLS()
				if clear != (used.Version == "") || clear != (used.Suite == "") || clear != (c.Path() == string(relay.Splice)) {
					t.Errorf("%s: TLS %+v, path %q", c.Name(), used, c.Path())
				}
			}
			for _, c := range append(apps, far...) {
				c.Close()
			}
			s.Finish()
			wait(t, s)
		})
	}
}

// An opener that does not wait for its turn gets it all the same.
func TestChannel_pipelined(t *testing.T) {
	t.Parallel()
	first, second := make(chan struct{}), make(chan struct{})
	mayConnect := make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.handler.connect = func(_ context.Context, kind string, number int) (net.Conn, error) {
			if number == 0 {
				close(first)
				<-mayConnect
			} else {
				select {
				case <-mayConnect:
				default:
					t.Error("the second channel was connected before the first")
				}
				close(second)
			}
			return h.handler.pair(kind, number)
		}
	})
	s, b := h.open(Info{})
	zero, one := openFrame(ChannelMemory), openFrame(ChannelMemory)
	zero.Session, one.Session, one.Number = s.ID, s.ID, 1
	conn0, conn1 := h.raw("host-a"), h.raw("host-a")
	send(t, conn0, zero)
	receive(t, first)
	send(t, conn1, one)
	until(t, "the second to wait", func() bool { return len(b.Channels()) == 2 })
	close(mayConnect)
	for _, conn := range []net.Conn{conn0, conn1} {
		if a := hear(t, conn); a.Kind != kindAccept {
			t.Errorf("%+v", a)
		}
	}
	receive(t, second)
}

// Where one channel can't be opened, those that wait behind it are not either, and all say why.
func TestChannel_firstFails(t *testing.T) {
	t.Parallel()
	var connects atomic.Int32
	asked, mayFail := make(chan struct{}), make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.handler.connect = func(context.Context, string, int) (net.Conn, error) {
			connects.Add(1)
			close(asked)
			<-mayFail
			return nil, errors.New("QEMU is gone")
		}
	})
	s, b := h.open(Info{})
	errs := make(chan error)
	for i := range 3 {
		_, local := socketPair(t)
		go func() {
			_, err := s.OpenChannel(t.Context(), ChannelMemory, local)
			errs <- err
		}()
		until(t, "the call", func() bool { return len(s.Channels()) == i+1 })
	}
	receive(t, asked)
	close(mayFail)
	for range 3 {
		expect(t, receive(t, errs), CodeLocal, "host-b: channel memory-0: connecting to QEMU's migration socket failed: QEMU is gone")
	}
	expect(t, wait(t, b), CodeLocal, "host-b: channel memory-0")
	if n := connects.Load(); n != 1 {
		t.Errorf("%d channels were connected", n)
	}
}

// A session that has failed connects nothing more, even while its end is still being talked about.
func TestChannel_afterFailure(t *testing.T) {
	t.Parallel()
	refused, letGo := context.WithCancel(t.Context())
	defer letGo()
	h := newHosts(t, func(h *hosts) { h.handler.end = func(*Cause) { <-refused.Done() } })
	conn, late := h.raw("host-a"), h.raw("host-a")
	id := NewID()
	s := h.control(conn, id)
	failed := time.Now()
	s.Fail(&Cause{Code: CodeLibvirt, Text: "libvirt has gone"})
	hearKind(t, conn, kindFailed)
	f := openFrame(ChannelMemory)
	f.Session = id
	if a := say(t, late, f); a.Kind != kindRefuse || a.Cause.Error() != "host-b: libvirt has gone" {
		t.Errorf("%+v", a)
	}
	send(t, conn, &frame{Kind: kindEnd, Cause: &Cause{Code: CodeLibvirt, Host: "host-a", Text: "so be it"}})
	conn.Close()
	letGo()
	c, want := wait(t, s), "host-a: so be it"
	if time.Since(failed) >= graceForVerdict { // on a busy machine it may come too late
		want = ""
	}
	expect(t, c, CodeLibvirt, want)
}

// Either direction may end first, and the other goes on.
func TestChannel_halfClose(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	for name, clear := range map[string]bool{"TLS": false, "clear": true} {
		for _, first := range []string{"opener", "acceptor"} {
			t.Run(name+", "+first+" first", func(t *testing.T) {
				t.Parallel()
				h := newHosts(t)
				s, b := h.open(Info{Clear: clear})
				from, to := h.channel(s, ChannelMemory)
				if first == "acceptor" {
					from, to = to, from
				}
				for range 2 {
					go func(from *net.UnixConn) {
						from.Write(data)
						from.CloseWrite()
					}(from)
					got, err := io.ReadAll(to)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
					}
					from, to = to, from
				}
				for _, end := range []*Session{s, b} {
					receive(t, end.Channels()[0].Ended())
					if err := end.Channels()[0].Err(); err != nil {
						t.Errorf("it has ended with %v", err)
					}
					if sent, received := end.Bytes(); sent != int64(len(data)) || received != int64(len(data)) {
						t.Errorf("%d sent, %d received of %d", sent, received, len(data))
					}
				}
				s.Finish()
				expect(t, wait(t, s), CodeDone)
			})
		}
	}
}

// Who is connected by TCP hears of a failure by a reset, before the channel is
// open as well as afterwards.
func TestChannel_failureResets(t *testing.T) {
	t.Parallel()
	for _, opens := range []bool{false, true} {
		h := newHosts(t, func(h *hosts) {
			if !opens {
				h.handler.connect = func(context.Context, string, int) (net.Conn, error) { return nil, errors.New("no one is there") }
			}
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		app, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		local, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s, _ := h.open(Info{})
		c, err := s.OpenChannel(t.Context(), ChannelIntercept, local)
		if opens != (err == nil) {
			t.Fatalf("%v", err)
		}
		if opens {
			s.Fail(&Cause{Code: CodeCancelled, Text: "enough"})
			receive(t, c.Ended())
			if c.Err() == nil {
				t.Error("the channel has ended in order")
			}
		} else {
			expect(t, err, CodeLocal, "host-b: channel intercept-0: connecting to QEMU's port failed: no one is there")
		}
		if _, err := app.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the application sees %v", err)
		}
		s.Wait()
	}
}

// The byte limit is of all channels and both directions together, and exact.
func TestChannel_byteLimit(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	for _, more := range []int{-1, 0, 1} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, func(h *hosts) { h.opener.Limits.Bytes = limit })
			s, b := h.open(Info{})
			first, far := h.channel(s, ChannelMemory)
			far.Write(make([]byte, 40_000)) // from there
			if _, err := io.ReadFull(first, make([]byte, 40_000)); err != nil {
				t.Fatal(err)
			}
			second, far2 := h.channel(s, ChannelDisk)
			go func() {
				second.Write(make([]byte, 60_000+more))
				second.CloseWrite()
			}()
			if more > 0 {
				expect(t, wait(t, s), CodeLimit, "host-a: channel disk-0: byte limit of the session reached (100000")
				sent, received := s.Bytes()
				if sent+received != limit {
					t.Errorf("%d bytes", sent+received)
				}
				expect(t, wait(t, b), CodeLimit, "host-a: channel disk-0: byte limit of the session reached (100000")
				return
			}
			if got, err := io.ReadAll(far2); len(got) != 60_000+more || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			for _, c := range []net.Conn{first, far, far2} {
				c.Close()
			}
			s.Finish()
			expect(t, wait(t, s), CodeDone)
		})
	}
}

func TestChannel_bandwidth(t *testing.T) {
	t.Parallel()
	const rate = 1 << 20
	for name, with := range map[string]func(h *hosts){
		"opener's":         func(h *hosts) { h.opener.Limits.Bandwidth = rate },
		"acceptor's":       func(h *hosts) { h.terms.Limits.Bandwidth = rate },
		"opener's total":   func(h *hosts) { h.opener.Limits.TotalSend = relay.NewLimiter(rate) },
		"acceptor's total": func(h *hosts) { h.terms.Limits.TotalReceive = relay.NewLimiter(rate) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t, with)
			s, _ := h.open(Info{})
			a, b := h.channel(s, ChannelMemory)
			c, d := h.channel(s, ChannelDisk) // they share it
			started := time.Now()
			for _, app := range []*net.UnixConn{a, c} {
				go func() {
					app.Write(make([]byte, rate/4))
					app.CloseWrite()
				}()
			}
			for _, app := range []*net.UnixConn{b, d} {
				if _, err := io.Copy(io.Discard, app); err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(started); took < 400*time.Millisecond || took > 10*time.Second {
				t.Errorf("half a second's bytes took %v", took)
			}
			for _, app := range []*net.UnixConn{a, b, c, d} {
				app.Close()
			}
		})
	}
}

func TestSession_setBandwidth(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) { h.opener.Limits.Bandwidth = 1000 })
	s, _ := h.open(Info{})
	a, b := h.channel(s, ChannelMemory)
	go func() {
		a.Write(make([]byte, 4<<20)) // more than an hour at this rate
		a.CloseWrite()
	}()
	if _, err := io.ReadFull(b, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	s.SetBandwidth(8 << 20)
	if _, err := io.ReadFull(b, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	s.SetBandwidth(0)
	if _, err := io.Copy(io.Discard, b); err != nil {
		t.Fatal(err)
	}
	if sent, _ := s.Bytes(); sent != 4<<20 {
		t.Errorf("%d bytes", sent)
	}
	free, _ := newHosts(t).open(Info{})
	free.SetBandwidth(1) // does nothing
	if free.send != nil {
		t.Error("a session without a limit has got one")
	}
}
