package direct

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// DrainTimeout is how long QEMU on both hosts may take to close what it has done with.
const DrainTimeout = 5 * time.Second

// Channels carry a migration's data between QEMU here and QEMU at a host without
// a sluice, which knows no sessions: each connection is one, and has a stream's
// limits.
type Channels struct {
	ctx    context.Context // their end
	limits relay.Limits
	most   int
	failed func(kind string, err error) // told of a lane that did not end in order

	mu    sync.Mutex
	list  []*channel
	ended bool // by wait; nothing is added any more
	work  sync.WaitGroup
}

func NewChannels(ctx context.Context, peer string, l stream.Limits, failed func(string, error)) *Channels {
	ls := &Channels{ctx: ctx, most: l.Channels, failed: failed}
	ls.limits.Send = stream.Limiters(relay.NewLimiter(l.Bandwidth), l.TotalSend)
	ls.limits.Receive = stream.Limiters(relay.NewLimiter(l.Bandwidth), l.TotalReceive)
	ls.limits.Buffers = stream.NewBuffers(peer)
	if l.Bytes > 0 {
		ls.limits.Budget = relay.NewBudget(l.Bytes)
	}
	return ls
}

// channel is one connection, live or ended.
type channel struct {
	kind           string
	number         int
	version, suite string // of TLS; empty in clear
	counters       relay.Counters
	path           atomic.Value // string
	open           atomic.Bool
}

func (l *channel) Name() string          { return fmt.Sprintf("%s-%d", l.kind, l.number) }
func (l *channel) Sent() int64           { return l.counters.Sent.Load() }
func (l *channel) Received() int64       { return l.counters.Received.Load() }
func (l *channel) Open() bool            { return l.open.Load() }
func (l *channel) TLS() (string, string) { return l.version, l.suite }
func (l *channel) Path() string          { p, _ := l.path.Load().(string); return p }

func (ls *Channels) Status() []session.Channel {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var all []session.Channel
	for _, l := range ls.list {
		all = append(all, session.Channel{Kind: l.kind, ChannelStats: l})
	}
	return all
}

// Carry moves bytes between local, QEMU's here, and remote until both have
// ended, and closes both. It does not wait for that. QEMU's own TLS ends
// without close_notify; its protocols say when all is there.
func (ls *Channels) Carry(kind string, local net.Conn, remote relay.Conn, localGone func(*relay.Error)) error {
	l := &channel{kind: kind}
	if state, ok := remote.ConnectionState(); ok {
		l.version, l.suite = strings.ReplaceAll(tls.VersionName(state.Version), " ", ""), tls.CipherSuiteName(state.CipherSuite)
	}
	l.path.Store(string(remote.Path()))
	l.open.Store(true)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ended || len(ls.list) >= ls.most {
		local.Close()
		remote.Close()
		return fmt.Errorf("the migration has %d channels, as many as it may (limits.channels), or is over", len(ls.list))
	}
	for _, o := range ls.list {
		if o.kind == kind {
			l.number++
		}
	}
	ls.list = append(ls.list, l)
	ls.work.Go(func() {
		res := relay.Run(ls.ctx, local, remote, relay.Options{Limits: ls.limits, Counters: &l.counters, IgnoreUnexpectedEOF: true, LocalGone: localGone})
		l.path.Store(string(res.Path))
		l.open.Store(false)
		if res.Err != nil && ls.ctx.Err() == nil {
			ls.failed(l.Name(), res.Err)
		}
	})
	return nil
}

// Wait returns when all lanes have ended.
func (ls *Channels) Wait() {
	ls.mu.Lock()
	ls.ended = true
	ls.mu.Unlock()
	ls.work.Wait()
}
