package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// metered are the two ends of a link, each with an owner.
type metered struct {
	end   [2]*Metered
	count [2]Counters
	ended [2]chan error
	stop  [2]context.CancelCauseFunc
}

func eachMetered(t *testing.T, limits Limits, f func(t *testing.T, m *metered)) {
	for name, l := range map[string]link{
		"plain":      plainLink(tcpPair),
		"records":    tlsLink(tls.VersionTLS13, Auto),
		"crypto/tls": tlsLink(tls.VersionTLS12, Auto),
	} {
		t.Run(name, func(t *testing.T) {
			m := new(metered)
			a, b := l(t)
			for i, c := range []Conn{a, b} {
				ctx, stop := context.WithCancelCause(t.Context())
				m.stop[i], m.ended[i] = stop, make(chan error, 2)
				o := MeteredOptions{Counters: &m.count[i], Ended: func(err error) { m.ended[i] <- err }}
				if i == 0 {
					o.Limits = limits
				}
				m.end[i] = Meter(ctx, c, o)
			}
			f(t, m)
			for i, end := range m.end {
				end.Close()
				if err := end.Close(); !isErr(err, net.ErrClosed) {
					t.Errorf("closed twice: %v", err)
				}
				if n := len(m.ended[i]); n > 1 {
					t.Errorf("the end was told %d times", n)
				}
				m.stop[i](nil)
			}
		})
	}
}

func TestMeteredCarries(t *testing.T) {
	const n = 300_000
	slow := NewLimiter(4 << 20)
	for _, limits := range []Limits{{}, {Send: []*Limiter{slow}, Receive: []*Limiter{slow}}} {
		eachMetered(t, limits, func(t *testing.T, m *metered) {
			var all sync.WaitGroup
			for i, end := range m.end {
				all.Go(func() {
					writeAll(t, end, noise(n+i))
					closeWriteOf(t, end)
				})
				all.Go(func() { expectEnd(t, end, noise(n+1-i)) })
			}
			all.Wait()
			for i, end := range m.end {
				if s, r := m.count[i].Sent.Load(), m.count[i].Received.Load(); s != int64(n+i) || r != int64(n+1-i) {
					t.Errorf("end %d counted %d and %d", i, s, r)
				}
				if end.Close(); <-m.ended[i] != nil {
					t.Errorf("end %d failed", i)
				}
			}
		})
	}
}

// An owner that closes while the peer may still say something has not ended in
// order, and the peer must not take it so.
func TestMeteredClose(t *testing.T) {
	eachMetered(t, Limits{}, func(t *testing.T, m *metered) {
		writeAll(t, m.end[0], []byte("some"))
		expect(t, m.end[1], []byte("some"))
		m.end[0].Close()
		if err := <-m.ended[0]; err != nil {
			t.Errorf("its own close: %v", err)
		}
		if _, err := m.end[0].Write([]byte("x")); !isErr(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		_, err := m.end[1].Read(make([]byte, 1))
		if told := <-m.ended[1]; err == nil || isErr(err, io.EOF) || told == nil || told.Error() != err.Error() {
			t.Errorf("the peer reads %v, and is told %v", err, told)
		}
	})
	// Where the peer has said all, it is in order.
	eachMetered(t, Limits{}, func(t *testing.T, m *metered) {
		closeWriteOf(t, m.end[1])
		expectEnd(t, m.end[0], nil)
		m.end[0].Close()
		expectEnd(t, m.end[1], nil)
	})
}

func TestMeteredContext(t *testing.T) {
	eachMetered(t, Limits{}, func(t *testing.T, m *metered) {
		why := errors.New("why")
		read := make(chan error)
		go func() {
			_, err := m.end[0].Read(make([]byte, 1))
			read <- err
		}()
		m.stop[0](why)
		if err := <-m.ended[0]; !isErr(err, why) {
			t.Error(err)
		}
		if err := <-read; !isErr(err, why) {
			t.Error(err)
		}
		if _, err := m.end[1].Read(make([]byte, 1)); err == nil || isErr(err, io.EOF) {
			t.Errorf("the peer reads %v", err)
		}
	})
}

func TestMeteredBudget(t *testing.T) {
	const most = 1000
	budget := NewBudget(most)
	eachMetered(t, Limits{Budget: budget}, func(t *testing.T, m *metered) {
		budget.left.Store(most)
		writeAll(t, m.end[0], noise(most))
		expect(t, m.end[1], noise(most))
		if n, err := m.end[0].Write([]byte("x")); n != 0 || !isErr(err, ErrByteLimit) {
			t.Errorf("%d, %v", n, err)
		}
		if err := <-m.ended[0]; !isErr(err, ErrByteLimit) {
			t.Error(err)
		}
		if n := m.count[0].Sent.Load(); n != most {
			t.Errorf("%d bytes were counted", n)
		}
	})
}
