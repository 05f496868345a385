package proxy

import (
	"context"
	"net"

	"github.com/virt-sluice/sluice/proxy/peer"
)

// servePeers accepts peers' connections until the listener is closed, and
// returns when they have ended.
func (d *Daemon) servePeers(ctx context.Context) {
	for {
		raw, err := d.listener.Accept()
		if err != nil {
			if d.AcceptAgain(ctx, "accept a peer's connection", err) {
				continue
			}
			return
		}
		d.Work.Go(func() {
			e, err := d.Peers.Admit(ctx, raw.(*net.TCPConn), d.acceptor.Refuse)
			if err != nil {
				d.Peers.Refusals.Add(err)
				d.connectionRefused(raw.RemoteAddr().(*net.TCPAddr), err)
				return
			}
			if e.LibvirtClient != nil {
				d.gateway.ServeLibvirtClient(ctx, e.Conn, e.LibvirtClient)
				return
			}
			if err := d.acceptor.Serve(ctx, e.Conn, e.Peer); err != nil {
				d.Log.Warn().Str("peer", e.Peer).Stringer("address", raw.RemoteAddr()).Err(err).Msg("channel refused")
			}
		})
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
	d.Refused(log, "connection refused", from.IP.String(), err)
}
