package proxy

import (
	"context"
	"net"
)

// servePeers accepts peers' connections until the listener is closed, and
// returns when they have ended.
func (d *Daemon) servePeers(ctx context.Context) {
	refused := &refusalLog{log: d.Log}
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
				refused.add(raw.RemoteAddr(), err)
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
