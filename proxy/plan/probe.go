package plan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// A probe is a session of its own, with one memory channel, over which the source sends noise for a
// moment. It goes as a guest would: through the relays of both hosts, with the same TLS, within the
// same limits. The destination counts it by a byte for each piece that has come.
const (
	probePiece = 64 << 10
	// probeEnd is how long the destination waits for what is on its way after the probe's time.
	probeEnd = 10 * time.Second
)

// probeBounds are one host's for a probe, of which the lower ones hold.
type probeBounds struct {
	Pieces int           `msgpack:"pieces"`
	Time   time.Duration `msgpack:"time"`
}

func boundsOf(l config.Limits) probeBounds {
	return probeBounds{Pieces: int(l.ProbeSize << 20 / probePiece), Time: l.ProbeTime}
}

// usualBounds are those of a sluice that does not tell its own, being older.
var usualBounds = probeBounds{Pieces: 16 << 20 / probePiece, Time: time.Second}

// callBounds asks the destination for its bounds.
const callBounds = "bounds"

// probing is the destination's end of a probe.
type probing struct {
	host  *host.Host
	entry *session.Entry
	log   zerolog.Logger
	sink  sync.WaitGroup
	limit *time.Timer // ends the session

	bounds probeBounds
}

// AcceptProbe takes the session of a peer's probe.
func AcceptProbe(d *host.Host, p *peer.Peer, entry *session.Entry, log zerolog.Logger) (stream.Handler, func(*stream.Session), error) {
	if p.Access() == config.AccessReadOnly {
		return nil, nil, fmt.Errorf("access denied: peers.%s.access on %s is %q, and bringing a guest takes %q", p.Conf.Table(), d.Config.Name, config.AccessReadOnly, config.AccessMigrate)
	}
	h := &probing{host: d, entry: entry, log: log, bounds: boundsOf(d.Config.Limits)}
	return h, func(s *stream.Session) {
		entry.SetSession(s)
		h.limit = time.AfterFunc(h.bounds.Time+probeEnd, func() {
			s.Fail(&stream.Cause{Code: stream.CodeLimit, Text: fmt.Sprintf("a probe of the link ends within %v (limits.probe_time)", h.bounds.Time+probeEnd)})
		})
	}, nil
}

// Connect takes the noise.
func (h *probing) Connect(_ context.Context, kind string, number int) (net.Conn, error) {
	if kind != stream.ChannelMemory || number != 0 {
		return nil, errors.New("a probe of the link has one channel, of memory")
	}
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	h.sink.Go(func() { count(near, h.bounds) })
	return far, nil
}

// count answers each piece with a byte, and ends the connection after as many as a probe has.
func count(c net.Conn, most probeBounds) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(most.Time + probeEnd))
	piece := make([]byte, probePiece)
	for range most.Pieces {
		if _, err := io.ReadFull(c, piece); err != nil {
			return
		}
		if _, err := c.Write(piece[:1]); err != nil {
			return
		}
	}
	io.ReadFull(c, piece[:1]) // its end, after which ours is no cut
}

func (h *probing) Call(_ context.Context, name string, _ []byte) (any, error) {
	if name == callBounds {
		return h.bounds, nil
	}
	return nil, fmt.Errorf("a probe of the link has no call %.20q", name)
}

func (h *probing) End(cause *stream.Cause) {
	h.limit.Stop()
	h.sink.Wait()
	h.host.Sessions.EndLogged(h.entry, h.log, session.OutcomeOf(cause), cause)
}

// link measures how fast data gets through to the destination, and an answer back.
func (pl *planning) link(ctx context.Context) (path forecast.Path, err error) {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkProbe, Peer: pl.peer.Name, Address: pl.peer.Conf.Address, Clear: pl.asked.Clear}
	entry, err := pl.Sessions.Add(info, control.Outgoing)
	if err != nil {
		return path, err
	}
	log := session.Log(pl.Log, info, control.Outgoing)
	o := pl.Opener(pl.peer)
	o.Limits = pl.Limits(pl.req.Bandwidth)
	s, err := o.Open(ctx, info)
	if err != nil {
		cause := session.CauseOf(err)
		pl.Sessions.EndLogged(entry, log, control.Failed, cause)
		return path, cause
	}
	entry.SetSession(s)
	stop := context.AfterFunc(ctx, func() { s.Fail(session.CauseOf(context.Cause(ctx))) })
	defer stop()
	near, far, err := socketPair()
	if err == nil {
		defer near.Close()
		var bounds probeBounds
		asked := time.Now()
		bounds, err = pl.probeBounds(ctx, s)
		path.RoundTrip = time.Since(asked)
		if err != nil {
			far.Close()
		} else if _, err = s.OpenChannel(ctx, stream.ChannelMemory, far); err == nil {
			path.Rate, err = measure(near, bounds)
			near.SetDeadline(time.Now().Add(probeEnd))
			io.Copy(io.Discard, near) // what is on its way arrives before the end
		}
	}
	if err != nil {
		s.Fail(session.CauseOf(err))
	}
	s.Finish()
	cause := s.Wait()
	pl.Sessions.EndLogged(entry, log, session.OutcomeOf(cause), cause)
	return path, err
}

// probeBounds are those that hold at both ends.
func (pl *planning) probeBounds(ctx context.Context, s *stream.Session) (b probeBounds, err error) {
	b = usualBounds
	err = s.Call(ctx, callBounds, nil, &b)
	if err != nil && ctx.Err() == nil {
		b, err = usualBounds, nil
	}
	if err == nil && (b.Pieces < 2 || b.Time <= 0) {
		err = fmt.Errorf("%s takes a probe of %d pieces in %v, which is none", pl.peer.Name, b.Pieces, b.Time)
	}
	here := boundsOf(pl.Config.Limits)
	return probeBounds{Pieces: min(b.Pieces, here.Pieces), Time: min(b.Time, here.Time)}, err
}

// measure sends noise, and sees how fast it is counted. The first quarter is left out: TCP begins
// slowly.
func measure(near *net.UnixConn, most probeBounds) (rate float64, err error) {
	near.SetDeadline(time.Now().Add(most.Time))
	var sending sync.WaitGroup
	defer sending.Wait()
	var begun atomic.Int64 // pieces that have been given away
	sending.Go(func() {
		noise := make([]byte, probePiece)
		rand.Read(noise)
		for range most.Pieces {
			begun.Add(1)
			if _, err := near.Write(noise); err != nil {
				break // the time is over, or the session is
			}
		}
		near.CloseWrite()
	})
	counts := make([]byte, most.Pieces)
	var at []time.Time // when each piece had been counted
	for len(at) < len(counts) {
		n, err := near.Read(counts)
		for range n {
			at = append(at, time.Now())
		}
		if int64(len(at)) > begun.Load() {
			near.SetDeadline(time.Now())
			return 0, errors.New("more is counted there than was sent")
		}
		if err != nil {
			break
		}
	}
	if len(at) < 2 {
		return 0, fmt.Errorf("fewer than %d bytes have got through in %v", 2*probePiece, most.Time)
	}
	first := min(len(at)/4, len(at)-2)
	return float64(len(at)-1-first) * probePiece / max(at[len(at)-1].Sub(at[first]), time.Microsecond).Seconds(), nil
}

// socketPair are the two ends of a connection within this process.
func socketPair() (near, far *net.UnixConn, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "probe")
		c, cerr := net.FileConn(f) // which has a descriptor of its own
		f.Close()
		if cerr != nil {
			err = errors.Join(err, cerr)
			continue
		}
		ends[i] = c.(*net.UnixConn)
	}
	if err != nil {
		for _, c := range ends {
			if c != nil {
				c.Close()
			}
		}
		return nil, nil, err
	}
	return ends[0], ends[1], nil
}
