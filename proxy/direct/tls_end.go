package direct

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/nbd"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// TLSEnd is where the TLS of a QEMU on a host without a sluice ends, for one
// migration to this host: a port for each kind of channel, and behind it the
// sockets of a session's folder, where QEMU here waits and has no keys.
type TLSEnd struct {
	host  *host.Host
	peer  *peer.Peer
	log   zerolog.Logger
	guest libvirt.UUID
	Dir   rundir.SessionDir
	Ports map[string]int

	ctx       context.Context
	cancel    context.CancelCauseFunc
	Channels  *Channels
	listeners []net.Listener
	accepts   sync.WaitGroup

	mu      sync.Mutex
	failure *stream.Cause // the first
	refusal *stream.Cause // the first, of a connection that may be anybody's
	joined  bool          // to QEMU here was one
}

// NewTLSEnd is where QEMU's TLS of p will end.
func NewTLSEnd(h *host.Host, p *peer.Peer, log zerolog.Logger) *TLSEnd {
	return &TLSEnd{host: h, peer: p, log: log}
}

// TLSEndData is what comes to a TLSEnd.
type TLSEndData struct {
	Guest    libvirt.UUID
	Disks    bool
	Postcopy bool // cutting it off does more harm than any excess
	Port     int  // for memory, as the source wants it; 0 where it does not say
}

func (e *TLSEnd) Open(id string, data TLSEndData) (err error) {
	limits := e.host.Limits(0)
	if data.Postcopy {
		limits.Bytes, limits.Bandwidth = 0, 0
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.Channels = NewChannels(e.ctx, e.peer.Name, limits, func(channel string, err error) {
		e.keep(&e.failure, &stream.Cause{Code: stream.CodeLink, Host: e.host.Config.Name, Channel: channel, Text: fmt.Sprintf("the connection with QEMU on %s broke: %v", e.peer.Name, err)})
	})
	e.guest, e.Ports = data.Guest, make(map[string]int)
	if e.Dir, err = e.host.Dir.MakeSession(id, e.host.QEMUUID); err != nil {
		return err
	}
	for _, kind := range stream.MigrationChannels(data.Disks) {
		port := 0
		if kind == stream.ChannelMemory {
			port = data.Port
		}
		if err = e.listen(kind, port); err != nil {
			return err
		}
	}
	return nil
}

func (e *TLSEnd) serve(kind string, l net.Listener) {
	places := make(chan struct{}, peer.MaxHandshakes)
	before := make(chan struct{}) // closed when the connection before is joined to QEMU, or never will be
	close(before)
	for {
		// A place is taken before the connection is: what there is none for waits in the kernel.
		select {
		case places <- struct{}{}:
		case <-e.ctx.Done():
			return
		}
		raw, err := l.Accept()
		if err != nil {
			<-places
			if e.host.AcceptAgain(e.ctx, "accept a connection of QEMU's on "+e.peer.Name, err) {
				continue
			}
			return
		}
		turn, done := before, make(chan struct{})
		before = done
		e.accepts.Go(func() {
			defer func() { <-places }()
			defer close(done)
			e.take(kind, raw, turn)
		})
	}
}

// take authenticates one connection and joins it to QEMU here when it is its
// turn: QEMU before 8.0 takes the first for the main channel.
func (e *TLSEnd) take(kind string, raw net.Conn, turn <-chan struct{}) {
	remote, flags, err := e.admit(kind, raw)
	if err != nil {
		e.refused(kind, raw, err, &e.refusal)
	}
	<-turn // each of those before has its limits
	if err != nil {
		return
	}
	if err := e.join(kind, remote, flags); err != nil {
		e.refused(kind, raw, err, &e.failure)
	}
}

// refused tells of a connection that is given up, if it is not for the end. The error says that, not
// the context: whoever was refused sees it before this, and the end may follow at once.
func (e *TLSEnd) refused(kind string, raw net.Conn, err error, as **stream.Cause) {
	if errors.Is(err, context.Canceled) || errors.Is(err, errOver) {
		return
	}
	e.log.Warn().Stringer("address", raw.RemoteAddr()).Str("channel", kind).Err(err).Msg("connection refused")
	e.keep(as, &stream.Cause{Code: stream.CodeRefused, Host: e.host.Config.Name, Channel: kind, Text: fmt.Sprintf("a connection from %s was refused: %v", raw.RemoteAddr(), err)})
}

// limit is for one step with a connection.
func (e *TLSEnd) limit() (context.Context, context.CancelFunc) {
	limit := e.host.Config.Limits.HandshakeTimeout
	return context.WithTimeoutCause(e.ctx, limit, peer.NoHandshake(limit))
}

// admit closes what it does not let in. flags are those of NBD.
func (e *TLSEnd) admit(kind string, raw net.Conn) (remote relay.Conn, flags uint32, err error) {
	ctx, cancel := e.limit()
	defer cancel()
	if kind == stream.ChannelDisk {
		if flags, err = nbd.GreetClient(ctx, raw, true); err != nil {
			raw.Close()
			return nil, 0, fmt.Errorf("NBD: %w", err)
		}
	}
	remote, err = e.secure(ctx, raw)
	return remote, flags, err
}

// join joins QEMU of the peer to QEMU here. It closes both if that fails.
func (e *TLSEnd) join(kind string, remote relay.Conn, flags uint32) error {
	ctx, cancel := e.limit()
	defer cancel()
	local, err := e.host.ConnectQEMU(ctx, e.Dir, kind, e.guest)
	if err == nil && kind == stream.ChannelDisk {
		if err = nbd.GreetServer(ctx, local, flags, false); err != nil {
			local.Close()
		}
	}
	if err != nil {
		remote.Close()
		return err
	}
	if err := e.Channels.Carry(kind, local, remote, nil); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joined = true
	return nil
}

// secure lets in QEMU of the peer alone, whose refusal is an alert: its stream
// has no place for words.
func (e *TLSEnd) secure(ctx context.Context, raw net.Conn) (relay.Conn, error) {
	c, _, err := tlsconf.Accept(ctx, e.host.Peers.TLS(), raw, tlsconf.Server{
		Credentials: e.host.Peers.Certs.Current(), Policy: e.host.Peers.Policy(e.peer), Name: e.peer.Name, Time: e.host.Peers.Clock,
		Authorize: func(p *tlsconf.Peer) error {
			if _, ok := e.peer.Rules.Match(p.Identity); !ok {
				return peer.Denied("its certificate (%s) does not have a name of %s, whose migration this is: QEMU shows client-cert.pem in migrate_tls_x509_cert_dir", p.Identity, e.peer.Name)
			}
			return nil
		},
	})
	return c, err
}

// keep keeps the first.
func (e *TLSEnd) keep(as **stream.Cause, c *stream.Cause) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if *as == nil {
		*as = c
	}
}

// End leaves nothing behind and says what went wrong first, if anything. That a connection was
// refused is no reason where others were let in: anybody may connect. After a migration that went
// well QEMU on both hosts may still close what it has done with.
func (e *TLSEnd) End(well bool) *stream.Cause {
	for _, l := range e.listeners {
		l.Close()
	}
	if well {
		t := time.AfterFunc(DrainTimeout, func() { e.cancel(nil) })
		e.Channels.Wait()
		t.Stop()
	}
	e.cancel(nil)
	e.accepts.Wait()
	e.Channels.Wait()
	e.Dir.Remove(e.log)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure == nil && !e.joined {
		return e.refusal
	}
	return e.failure
}
