package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// ServeClients joins each libvirt client that connects to the socket of the peer of that name with
// the peer's libvirt, until the listener is closed. now is the gateway as each of them finds it.
func ServeClients(ctx context.Context, name string, l host.LocalListener, now func() *Gateway) {
	for {
		caller, err := l.AcceptCaller()
		gw := now()
		if err != nil {
			if gw.AcceptAgain(ctx, "accept a libvirt client of "+name, err) {
				continue
			}
			return
		}
		gw.Work.Go(func() {
			defer caller.Close()
			err := caller.Denied
			if p := gw.Peers.Get(name); err == nil && p == nil {
				err = fmt.Errorf("%s is no peer in the configuration of %s any more", name, gw.Config.Name)
			} else if err == nil {
				if err = gw.serveClient(ctx, p, caller); err != nil {
					gw.Log.Warn().Err(err).Str("peer", name).Msg("libvirt client refused")
				}
			}
			if err != nil {
				// virsh and its kin show this as they show libvirt's own errors.
				libvirtrpc.Refuse(caller, gw.Config.Limits.HandshakeTimeout, "sluice: "+err.Error())
			}
		})
	}
}

// serveClient carries one client's connection. An error means that nothing of
// it has been carried, and leaves it open.
func (gw *Gateway) serveClient(ctx context.Context, p *peer.Peer, c *host.Caller) error {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkLibvirt, Peer: p.Name, Address: p.Conf.Address}
	entry, err := gw.Sessions.Add(info, control.Outgoing)
	if err != nil {
		return err
	}
	entry.AskedBy(c.Asker(), nil)
	log := session.Log(gw.Log, info, control.Outgoing)
	s, none, err := peer.Open(ctx, gw.Opener(p), info)
	if none != nil && err != nil {
		err = none.And("without one there libvirt's clients have libvirt's own URI (%s), and `sluice migrate GUEST %s` what peers.%s.without_sluice on %s allows", p.Conf.LibvirtURI, p.Name, p.Conf.Table(), gw.Config.Name)
	}
	if err != nil {
		gw.Sessions.End(entry, control.Failed, session.CauseOf(err).Code, err.Error())
		return err
	}
	entry.SetSession(s)
	conn, err := s.OpenConn(ctx, stream.ChannelLibvirt)
	if err != nil {
		gw.Sessions.EndLogged(entry, log, control.Failed, s.Wait())
		return err
	}
	g := &sourceFilter{gateway: gw, peer: p, log: log, session: info.ID, moving: make(map[string]*steeredSource),
		caller: newLocalCaller(c.UnixConn), asked: entry.Asker(), cut: s.Fail}
	conversation := &libvirtrpc.Conversation{
		Client:    relay.RawSyscalls(c.UnixConn),
		Server:    conn,
		Rules:     g,
		Failing:   failing(s, conn, "the libvirt client's connection", log),
		Ended:     g.ended,
		Draining:  gw.Sessions.DrainBegan(),
		Explain:   func(err error) *libvirtrpc.Error { return explain(s, err) },
		Unwatched: libvirtrpc.ServerSide, // its session watches it
	}
	// It may outlive the session: a call may have to be answered after that.
	conversation.Run(ctx)
	if ctx.Err() != nil {
		s.Fail(session.ErrStopping)
	}
	s.Finish()
	cause := s.Wait()
	g.end(cause)
	gw.Sessions.EndLogged(entry, log, session.OutcomeOf(cause), cause)
	return nil
}

// explain words the end of a conversation that s carries, by s's own cause if
// it has one or soon will.
func explain(s *stream.Session, err error) *libvirtrpc.Error {
	patience := time.NewTimer(graceForCause)
	defer patience.Stop()
	if !errors.Is(err, session.ErrStopping) {
		select {
		case <-s.Settled():
			if cause := context.Cause(s.Context()); cause != nil {
				err = cause
			}
		case <-patience.C:
		}
	}
	return libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
}

// failing ends s when a conversation over conn fails, unless conn did, and the session knows, or
// the daemon stops. A client that goes away in the middle is no failure of the session's.
func failing(s *stream.Session, conn *stream.Conn, what string, log zerolog.Logger) func(error) {
	return func(err error) {
		select {
		case <-conn.Channel.Ended():
			return
		default:
		}
		if errors.Is(err, session.ErrStopping) {
			return
		}
		log.Info().Err(err).Msg(what + " broke")
		s.Fail(&stream.Cause{Code: stream.CodeLocal, Text: fmt.Sprintf("%s broke: %v", what, err)})
	}
}
