package proxy

import (
	"context"
	"net"

	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
)

// servePeers accepts peers' connections until the listener is closed. Who is let in is decided when
// the handshake is over, and what a session may do when its first frame is there, each by the
// configuration of that moment.
func (d *Daemon) servePeers(ctx context.Context) {
	for {
		raw, err := d.listener.Accept()
		if err != nil {
			if d.now().AcceptAgain(ctx, "accept a peer's connection", err) {
				continue
			}
			return
		}
		d.Work.Go(func() { d.servePeer(ctx, raw.(*net.TCPConn)) })
	}
}

// servePeer carries one connection to its end.
func (d *Daemon) servePeer(ctx context.Context, raw *net.TCPConn) {
	p := d.now()
	e, err := p.Peers.Admit(ctx, raw, d.acceptor.Refuse)
	if err != nil {
		p.Peers.Refusals.Add(err)
		d.connectionRefused(raw.RemoteAddr().(*net.TCPAddr), err)
		return
	}
	switch {
	case e.Conn == nil: // another process has it
		return
	case e.LibvirtClient != nil:
		p := d.now()
		p.gateway.ServeLibvirtClient(ctx, e.Conn, e.By(p.Peers).LibvirtClient)
		return
	}
	whose := func() (stream.Who, *stream.Terms) {
		p := d.now()
		who := e.By(p.Peers).Who
		return who, d.terms(p, who, e.Certificate())
	}
	if err := d.acceptor.Serve(ctx, e.Conn, whose); err != nil {
		d.Log.Warn().Str("peer", e.Who.Peer).Stringer("address", raw.RemoteAddr()).Err(err).Msg("channel refused")
	}
}

// terms are what p has for a peer's connection, with the names in its certificate.
func (d *Daemon) terms(p *parts, who stream.Who, certificate string) *stream.Terms {
	return &stream.Terms{
		Limits: p.Limits(0),
		Share: stream.Share{
			Channels: p.Config.Limits.PeerChannels,
			Asks:     p.Config.Limits.PeerAsks,
			Memory:   func(peer string) *stream.Memory { return p.Peers.Get(peer).Memory },
		},
		Accept: func(ctx context.Context, info stream.Info) (stream.Handler, func(*stream.Session), error) {
			return d.accept(ctx, p, info, certificate)
		},
		Ask: func(ctx context.Context, _, name string, body []byte) (any, error) {
			return d.answer(ctx, p, who, name, body)
		},
	}
}

// connectionRefused tells of a connection by its address. Health checks of load balancers, which
// connect and say nothing, are for debug.
func (d *Daemon) connectionRefused(from *net.TCPAddr, err error) {
	log := d.Log.With().Stringer("address", from).Logger()
	if peer.Silent(err) {
		log.Debug().Err(err).Msg("connection refused")
		return
	}
	d.now().Refused(log, "connection refused", from.IP.String(), err)
}
