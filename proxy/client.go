package proxy

import (
	"context"
	"errors"
	"net"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/stream"
)

// serveClients joins each libvirt client that connects to a peer's socket with
// the peer's libvirt, until the listener is closed.
func (d *Daemon) serveClients(ctx context.Context, p *peer, l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				d.log.Error().Err(err).Str("peer", p.name).Msg("accept a libvirt client")
			}
			return
		}
		d.work.Go(func() {
			if err := d.serveClient(ctx, p, c); err != nil {
				d.log.Warn().Err(err).Str("peer", p.name).Msg("libvirt client refused")
				// virsh and its kin show this as they show libvirt's own errors.
				libvirtrpc.Refuse(c, d.cfg.Limits.HandshakeTimeout, "sluice: "+err.Error())
				c.Close()
			}
		})
	}
}

// serveClient carries one client's connection. An error means that nothing of
// it has been carried, and leaves it open.
func (d *Daemon) serveClient(ctx context.Context, p *peer, c *net.UnixConn) error {
	if err := d.allowed(c); err != nil {
		return err
	}
	info := stream.Info{ID: stream.NewID(), Work: workLibvirt, Peer: p.name, Address: p.conf.Address}
	entry, err := d.sessions.add(info, control.Outgoing)
	if err != nil {
		return err
	}
	log := d.sessionLog(info, control.Outgoing)
	s, err := d.opener(p).Open(ctx, info)
	if err != nil {
		d.sessions.end(entry, control.Failed, err.Error())
		return err
	}
	entry.open(s)
	stop := context.AfterFunc(ctx, func() { s.Fail(errStopping) })
	defer stop()
	// The channel closes its connection, also when it does not come about; the
	// duplicate is for telling the client why.
	dup, err := duplicate(c)
	if err != nil {
		s.Fail(&stream.Cause{Code: stream.CodeLocal, Text: err.Error()})
		d.endSession(entry, log, control.Failed, s.Wait())
		return err
	}
	ch, err := s.OpenChannel(ctx, stream.ChannelLibvirt, dup)
	if err != nil {
		d.endSession(entry, log, control.Failed, s.Wait())
		return err
	}
	c.Close()
	<-ch.Ended()
	s.Finish()
	cause := s.Wait()
	d.endSession(entry, log, outcomeOf(cause), cause)
	return nil
}

// duplicate is c with a descriptor of its own.
func duplicate(c *net.UnixConn) (net.Conn, error) {
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// incomingLibvirt is a peer's client at this host's libvirt.
type incomingLibvirt struct {
	d     *Daemon
	entry *entry
	log   zerolog.Logger
}

func (in *incomingLibvirt) Connect(ctx context.Context, kind string, _ int) (net.Conn, error) {
	if kind != stream.ChannelLibvirt {
		return nil, errors.New("a libvirt client's session has libvirt channels alone")
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", in.d.cfg.LibvirtSocket)
}

func (in *incomingLibvirt) Call(context.Context, string, []byte) (any, error) {
	return nil, errors.New("a libvirt client's session has no calls")
}

func (in *incomingLibvirt) End(cause *stream.Cause) {
	in.d.endSession(in.entry, in.log, outcomeOf(cause), cause)
}

// outcomeOf is the outcome of a session without a guest.
func outcomeOf(cause *stream.Cause) string {
	if cause.Done() {
		return ""
	}
	return control.Failed
}
