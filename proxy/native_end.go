package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// nativeEnd is where the TLS of a QEMU on a host without a sluice ends, for one
// migration to this host: a port for each kind of channel, and behind it the
// sockets of a session's folder, where QEMU here waits and has no keys.
type nativeEnd struct {
	d     *Daemon
	peer  *peer
	log   zerolog.Logger
	dir   sessionDir
	ports map[string]int

	ctx       context.Context
	cancel    context.CancelCauseFunc
	lanes     *lanes
	listeners []net.Listener
	accepts   sync.WaitGroup

	mu      sync.Mutex
	failure *stream.Cause // the first
}

func (e *nativeEnd) open(id string, disks bool, port int) (err error) {
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.lanes = newLanes(e.ctx, e.d.limits(0), func(lane string, err error) {
		e.fail(&stream.Cause{Code: stream.CodeLink, Host: e.d.cfg.Name, Channel: lane, Text: fmt.Sprintf("the connection with QEMU on %s broke: %v", e.peer.name, err)})
	})
	e.ports = make(map[string]int)
	if e.dir, err = e.d.dir.sessionDir(id, e.d.qemuUID); err != nil {
		return err
	}
	if err = e.listen(stream.ChannelMemory, memorySocket, port); err == nil && disks {
		err = e.listen(stream.ChannelDisk, diskSocket, 0)
	}
	return err
}

// Where libvirt's QEMUs listen by default (migration_port_min, migration_port_max in qemu.conf),
// which sites have opened between hosts that migrate without sluice.
const firstMigrationPort, lastMigrationPort = 49152, 49215

// listen listens at a port, one of libvirt's own if it is 0: from the last
// down, as libvirt goes up. Where interception closes those, at any other.
func (e *nativeEnd) listen(kind, socket string, port int) error {
	host, _, err := net.SplitHostPort(e.d.cfg.Listen)
	if err != nil {
		return err
	}
	at := func(port int) (net.Listener, error) {
		return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	}
	var l net.Listener
	var first, last uint16 // that interception closes
	if e.d.cfg.Intercept != nil {
		first, last = e.d.cfg.Intercept.Range()
	}
	switch {
	case port != 0 && inRange(port, first, last):
		return fmt.Errorf("port %d is among intercept.ports (%s), which are closed to other hosts: leave it out of the URI", port, e.d.cfg.Intercept.Ports)
	case port != 0:
		l, err = at(port)
	case last != 0:
		for l, err = at(0); err == nil && inRange(l.Addr().(*net.TCPAddr).Port, first, last); l, err = at(0) {
			defer l.Close() // not before, or the kernel could give it again
		}
	default:
		for port = lastMigrationPort; port >= firstMigrationPort; port-- {
			if l, err = at(port); err == nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("listen for QEMU of %s: %w", e.peer.name, err)
	}
	e.listeners = append(e.listeners, l)
	e.ports[kind] = l.Addr().(*net.TCPAddr).Port
	e.accepts.Go(func() { e.serve(kind, socket, l) })
	return nil
}

func inRange(port int, first, last uint16) bool {
	return port >= int(first) && port <= int(last)
}

func (e *nativeEnd) serve(kind, socket string, l net.Listener) {
	places := make(chan struct{}, maxHandshakes)
	before := make(chan struct{}) // closed when the connection before is joined to QEMU, or never will be
	close(before)
	for {
		raw, err := l.Accept()
		if err != nil {
			if e.d.acceptAgain(e.ctx, "accept a connection of QEMU's on "+e.peer.name, err) {
				continue
			}
			return
		}
		select {
		case places <- struct{}{}:
		default:
			raw.Close()
			continue
		}
		turn, done := before, make(chan struct{})
		before = done
		e.accepts.Go(func() {
			defer func() { <-places }()
			defer close(done)
			if err := e.take(kind, socket, raw, turn); err != nil && e.ctx.Err() == nil {
				e.log.Warn().Stringer("address", raw.RemoteAddr()).Str("channel", kind).Err(err).Msg("connection refused")
				e.fail(&stream.Cause{Code: stream.CodeRefused, Host: e.d.cfg.Name, Channel: kind, Text: fmt.Sprintf("a connection from %s was refused: %v", raw.RemoteAddr(), err)})
			}
		})
	}
}

// take authenticates one connection and joins it to QEMU here when it is its
// turn: QEMU before 8.0 takes the first for the main channel.
func (e *nativeEnd) take(kind, socket string, raw net.Conn, turn <-chan struct{}) error {
	limit := e.d.cfg.Limits.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(e.ctx, limit, noHandshake(limit))
	defer cancel()
	var flags uint32
	var err error
	if kind == stream.ChannelDisk {
		if flags, err = tunnel.NBDClient(ctx, raw, true); err != nil {
			raw.Close()
			return fmt.Errorf("NBD: %w", err)
		}
	}
	remote, err := e.secure(ctx, raw)
	if err != nil {
		return err
	}
	<-turn // each of those before has its limit
	local, err := e.dir.connect(socket, e.d.qemuUID)
	if err == nil && kind == stream.ChannelDisk {
		if err = tunnel.NBDServer(ctx, local, flags, false); err != nil {
			local.Close()
		}
	}
	if err != nil {
		raw.Close()
		remote.Close()
		return err
	}
	return e.lanes.carry(kind, local, remote, nil)
}

// secure lets in QEMU of the peer alone, whose refusal is an alert: its stream
// has no place for words.
func (e *nativeEnd) secure(ctx context.Context, raw net.Conn) (relay.Conn, error) {
	policy := e.d.certs.with(e.peer)
	cfg := e.d.certs.current().Server(tlsconf.Options{Policy: policy, Time: e.d.clock})
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		id, err := tlsconf.IdentityOf(state.PeerCertificates[0])
		if err != nil {
			return err
		}
		if _, ok := e.peer.rules.Match(id); !ok {
			return denied("its certificate (%s) has no name of %s, whose migration this is: QEMU shows client-cert.pem of migrate_tls_x509_cert_dir", id, e.peer.name)
		}
		return nil
	}
	gated, cfg := tlsconf.Gate(raw, cfg)
	c, err := e.d.tls().Server(ctx, gated, cfg)
	if err == nil {
		state, _ := c.ConnectionState()
		if err = policy.Finish(state); err != nil {
			raw.Close()
		}
	}
	var own *stream.Cause
	if err != nil && !errors.As(err, &own) {
		err = policy.Explain(err, e.peer.name)
	}
	return c, err
}

func (e *nativeEnd) fail(c *stream.Cause) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure == nil {
		e.failure = c
	}
}

// end leaves nothing behind and says what went wrong first, if anything. After
// a migration that went well QEMU on both hosts may still close what it has done
// with.
func (e *nativeEnd) end(well bool) *stream.Cause {
	for _, l := range e.listeners {
		l.Close()
	}
	if well {
		t := time.AfterFunc(drainLanes, func() { e.cancel(nil) })
		e.lanes.wait()
		t.Stop()
	}
	e.cancel(nil)
	e.accepts.Wait()
	e.lanes.wait()
	if e.dir.runDir != nil {
		if err := e.dir.remove(); err != nil {
			e.log.Error().Err(err).Msg("the session's folder could not be removed")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}

// mayComeBare says whether a peer may come without its sluice.
func (p *peer) mayComeBare() bool { return p.conf.WithoutSluice != config.WithoutNo }
