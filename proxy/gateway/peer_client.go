package gateway

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// PeerClient is a peer's client at this host's libvirt.
type PeerClient struct {
	gateway *Gateway
	peer    *peer.Peer
	entry   *session.Entry
	log     zerolog.Logger

	session *stream.Session // set before the channel

	mu      sync.Mutex
	stopped bool
	stop    context.CancelCauseFunc // the conversation's; nil before there is one
	ended   chan struct{}           // closed when it has ended
}

// Accept takes a session of a peer's clients with this host's libvirt.
func (gw *Gateway) Accept(p *peer.Peer, e *session.Entry, log zerolog.Logger) (stream.Handler, func(*stream.Session)) {
	in := &PeerClient{gateway: gw, peer: p, entry: e, log: log}
	return in, in.start
}

func (in *PeerClient) start(s *stream.Session) {
	in.session = s
	in.entry.SetSession(s)
}

func (in *PeerClient) Connect(ctx context.Context, kind string, number int) (net.Conn, error) {
	if kind != stream.ChannelLibvirt || number > 0 {
		return nil, errors.New("a libvirt client's session has one libvirt channel, and no others")
	}
	access := in.peer.Access()
	server, err := in.gateway.Libvirt.Dial(ctx, access == config.AccessReadOnly)
	if err != nil {
		return nil, err
	}
	return &filteredLibvirtd{server, in, access}, nil
}

// filteredLibvirtd is this host's libvirtd with the destination filter before it.
type filteredLibvirtd struct {
	*net.UnixConn
	in     *PeerClient
	access string
}

// Take implements stream.Taker.
func (e *filteredLibvirtd) Take(conn *stream.Conn) {
	in := e.in
	ctx, stop := context.WithCancelCause(in.session.Context())
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped {
		stop(session.ErrStopping)
	}
	in.stop, in.ended = stop, make(chan struct{})
	go func() {
		defer close(in.ended)
		g := &destinationFilter{
			gateway: in.gateway, peer: in.peer, access: e.access, memory: in.peer.Memory, calls: in.peer.Calls, name: in.peer.Name, address: in.session.Address, who: "peer " + in.peer.Name, asked: in.entry.Asker(), log: in.log,
		}
		g.serve(ctx, conn, relay.RawSyscalls(e.UnixConn), failing(in.session, conn, "the connection with libvirt", in.log))
	}()
}

// Stop is told that the daemon stops. It returns once the client knows, and has
// the answers that it must have.
func (in *PeerClient) Stop() {
	in.mu.Lock()
	in.stopped = true
	if in.stop != nil {
		in.stop(session.ErrStopping)
	}
	in.mu.Unlock()
	in.wait()
}

func (in *PeerClient) wait() {
	in.mu.Lock()
	ended := in.ended
	in.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

func (in *PeerClient) Call(context.Context, string, []byte) (any, error) {
	return nil, errors.New("a libvirt client's session has no calls")
}

func (in *PeerClient) End(cause *stream.Cause) {
	in.wait()
	in.gateway.Sessions.EndLogged(in.entry, in.log, session.OutcomeOf(cause), cause)
}
