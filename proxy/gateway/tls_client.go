package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// ServeLibvirtClient answers a libvirt client as libvirtd's own TLS port would,
// until its connection has ended. A client that may not come in gets the
// reason, in place of a connection that just closes.
func (gw *Gateway) ServeLibvirtClient(ctx context.Context, conn relay.Conn, s *peer.LibvirtClient) {
	defer conn.Close()
	log := gw.Log.With().Stringer("address", conn.RemoteAddr()).Str("client", s.Who).Logger()
	conn.SetDeadline(time.Now().Add(gw.Config.Limits.HandshakeTimeout))
	_, err := conn.Write(peer.LibvirtConfirmation)
	if err != nil {
		log.Warn().Err(err).Msg("connection refused")
		return
	}
	if err = s.Refusal; err != nil {
		gw.Peers.Refusals.Add(err)
	} else {
		err = gw.serveKnown(ctx, conn, s)
	}
	if err != nil {
		log.Warn().Err(err).Msg("connection refused")
		libvirtrpc.Refuse(conn, gw.Config.Limits.HandshakeTimeout, fmt.Sprintf("sluice: %v", err))
	}
}

// serveKnown carries the connection of a client that may come in. An error
// means that nothing of it has been carried, and leaves it open.
func (gw *Gateway) serveKnown(ctx context.Context, conn relay.Conn, s *peer.LibvirtClient) error {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkClient, Peer: s.Name, Address: conn.RemoteAddr().String()}
	entry, err := gw.Sessions.Add(info, control.Incoming)
	if err != nil {
		return err
	}
	entry.AskedBy(&control.Asker{Certificate: s.Certificate}, nil)
	log := session.Log(gw.Log, info, control.Incoming).With().Str("client", s.Who).Logger()
	server, err := gw.Libvirt.Dial(ctx, s.Access == config.AccessReadOnly)
	if err != nil {
		gw.Sessions.End(entry, control.Failed, stream.CodeLocal, err.Error())
		return err
	}
	conn.SetDeadline(time.Time{})
	entry.SetPhase(control.PhaseOpen)
	log.Info().Str("access", s.Access).Msg("libvirt client connected")
	g := &destinationFilter{gateway: gw, tlsPeer: s.Peer, listed: s.Listed, access: s.Access, memory: s.Memory, calls: s.Calls, name: s.Name, address: info.Address, local: conn.LocalAddr().String(), who: s.Who, asked: entry.Asker(), log: log}
	cause := &stream.Cause{Code: stream.CodeDone}
	if err := g.serve(ctx, unclosedConn{conn}, relay.RawSyscalls(server), nil); err != nil {
		cause = session.CauseOf(err)
	}
	gw.Sessions.EndLogged(entry, log, session.OutcomeOf(cause), cause)
	return nil
}

// unclosedConn is a client's connection that may end without close_notify: libvirt's
// clients send none. Packets have lengths, so that one that is cut off is seen.
type unclosedConn struct{ relay.Conn }

func (c unclosedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, relay.ErrTruncated) {
		err = io.EOF
	}
	return n, err
}
