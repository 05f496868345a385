package direct

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// DrainTimeout is how long QEMU on both hosts may take to close what it has done with.
const DrainTimeout = 5 * time.Second

// Channels carry a migration's data between QEMU here and QEMU at a host without a sluice, which
// knows no sessions: each connection is one, and has a stream's limits.
type Channels struct {
	ctx    context.Context // their end
	limits relay.Limits
	own    []*relay.Limiter // of limits; one that is not there is nil
	most   int
	failed func(kind string, err error) // told of a channel that did not end in order

	mu    sync.Mutex
	list  []*channel
	ended bool // by wait; nothing is added any more
	work  sync.WaitGroup
}

func NewChannels(ctx context.Context, peer string, l stream.Limits, failed func(string, error)) *Channels {
	cs := &Channels{ctx: ctx, most: l.Channels, failed: failed}
	cs.own = []*relay.Limiter{relay.NewLimiter(l.Bandwidth), relay.NewLimiter(l.Bandwidth)}
	cs.limits.Send = stream.Limiters(cs.own[0], l.TotalSend)
	cs.limits.Receive = stream.Limiters(cs.own[1], l.TotalReceive)
	cs.limits.Buffers = stream.NewBuffers(peer)
	if l.Bytes > 0 {
		cs.limits.Budget = relay.NewBudget(l.Bytes)
	}
	return cs
}

// SetBandwidth changes the migration's limit, as a session's does.
func (cs *Channels) SetBandwidth(bytesPerSecond int64) {
	for _, l := range cs.own {
		if l != nil {
			l.SetRate(bytesPerSecond)
		}
	}
}

// channel is one connection, live or ended.
type channel struct {
	kind     string
	number   int
	tls      tlsconf.Used
	counters relay.Counters
	path     atomic.Value // string
	open     atomic.Bool
}

func (c *channel) Name() string      { return fmt.Sprintf("%s-%d", c.kind, c.number) }
func (c *channel) Sent() int64       { return c.counters.Sent.Load() }
func (c *channel) Received() int64   { return c.counters.Received.Load() }
func (c *channel) Open() bool        { return c.open.Load() }
func (c *channel) TLS() tlsconf.Used { return c.tls }
func (c *channel) LocalEnded() bool  { return c.counters.LocalEnded.Load() }
func (c *channel) Path() string      { p, _ := c.path.Load().(string); return p }

func (cs *Channels) Status() []session.Channel {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var all []session.Channel
	for _, c := range cs.list {
		all = append(all, session.Channel{Kind: c.kind, ChannelStats: c})
	}
	return all
}

var errOver = errors.New("the migration is over")

// Carry moves bytes between local, QEMU's here, and remote until both have
// ended, and closes both. It does not wait for that. QEMU's own TLS ends
// without close_notify; its protocols say when all is there.
func (cs *Channels) Carry(kind string, local net.Conn, remote relay.Conn, localGone func(*relay.Error)) error {
	c := &channel{kind: kind, tls: tlsconf.UsedBy(remote.ConnectionState())}
	c.path.Store(string(remote.Path()))
	c.open.Store(true)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.ended || len(cs.list) >= cs.most {
		local.Close()
		remote.Close()
		if cs.ended {
			return errOver
		}
		return fmt.Errorf("channel limit of the migration reached (%d, limits.channels)", len(cs.list))
	}
	for _, o := range cs.list {
		if o.kind == kind {
			c.number++
		}
	}
	cs.list = append(cs.list, c)
	cs.work.Go(func() {
		res := relay.Run(cs.ctx, local, remote, relay.Options{Limits: cs.limits, Counters: &c.counters, IgnoreUnexpectedEOF: true, LocalGone: localGone})
		c.path.Store(string(res.Path))
		c.open.Store(false)
		if res.Err != nil && cs.ctx.Err() == nil {
			cs.failed(c.Name(), res.Err)
		}
	})
	return nil
}

// Wait returns when all channels have ended.
func (cs *Channels) Wait() {
	cs.mu.Lock()
	cs.ended = true
	cs.mu.Unlock()
	cs.work.Wait()
}
