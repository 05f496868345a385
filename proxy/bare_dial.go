package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// connectFar opens qemu:///system of a host without a sluice, at its
// libvirt_uri, with this host's certificate, and only if the other is the
// peer's.
func (d *Daemon) connectFar(ctx context.Context, p *peer) (*virt.Conn, error) {
	_, address, secure := p.conf.LibvirtAt()
	fail := func(code, format string, args ...any) error {
		text := fmt.Sprintf(format, args...)
		if late(ctx) {
			code, text = stream.CodeLink, context.Cause(ctx).Error()
		}
		return &stream.Cause{Code: code, Host: d.Config.Name, Text: fmt.Sprintf("%s has no sluice, and its libvirt can't be used (%s): %s", p.name, p.conf.LibvirtURI, text)}
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fail(stream.CodeLink, "%v: does libvirtd run there, and listen (listen_tls, libvirtd-tls.socket)?", err)
	case err != nil:
		return nil, fail(stream.CodeLink, "%v", err)
	}
	conn := relay.Plain(raw)
	if secure {
		conn, err = d.secure(ctx, p, raw)
		switch {
		case errors.Is(err, errSluice):
			return nil, &stream.Cause{Code: stream.CodeRefused, Host: d.Config.Name, Text: fmt.Sprintf("no libvirtd of %s's at %s: %v", p.name, p.conf.LibvirtURI, err)}
		case err != nil:
			return nil, fail(stream.CodeRefused, "%v", err)
		}
		var taken [1]byte
		stop := context.AfterFunc(ctx, func() { raw.Close() })
		_, err = io.ReadFull(conn, taken[:])
		if !stop() || err != nil || taken != [1]byte(confirmation) {
			conn.Close()
			return nil, fail(stream.CodeRefused, "libvirtd does not take this host's certificate, or is something else (%v): its log says why, and tls_allowed_dn_list in libvirtd.conf is one reason", err)
		}
	}
	v, err := virt.NewRemoteConn(ctx, conn)
	if err != nil {
		code := stream.CodeRefused
		if errors.Is(err, virt.ErrGone) {
			code = stream.CodeLink
		}
		return nil, fail(code, "open qemu:///system: %v", err)
	}
	return v, nil
}

// late says whether ctx has ended. A socket may see its deadline a moment before.
func late(ctx context.Context) bool {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// errSluice says that who was taken for a program of a host without a sluice is
// one.
var errSluice = errors.New("a sluice answers there: it has just been started, or somebody resets connections to it; try again, and see `sluice check`")

// secure is TLS as sluices have it, with another program of the peer's. A
// sluice is offered its own protocol, which only it takes up: it serves
// libvirt's clients on the same port, and what it is fit for is not to be had
// from it in clear.
func (d *Daemon) secure(ctx context.Context, p *peer, raw net.Conn) (relay.Conn, error) {
	c, other, err := tlsconf.Connect(ctx, d.tls(), raw, tlsconf.Client{
		Credentials: d.certs.current(), Policy: d.certs.with(p), Name: p.name, Expect: p.rules, Protocols: []string{alpn}, AnyProto: true,
	})
	if err != nil {
		return nil, err
	}
	if other.Protocol == alpn {
		c.Close()
		p.seen.Store(true)
		return nil, errSluice
	}
	return c, nil
}

// dialQEMU connects to where QEMU of a host without a sluice waits. An error
// leaves local open.
func (b *bare) dialQEMU(ctx context.Context, kind string, local net.Conn) (relay.Conn, error) {
	var port int
	if ports := b.ports.Load(); ports != nil {
		port = (*ports)[kind]
	}
	if port == 0 {
		return nil, fmt.Errorf("QEMU on %s waits for no %s", b.peer.name, kind)
	}
	address := net.JoinHostPort(b.host, strconv.Itoa(port))
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &stream.Cause{Code: stream.CodeLink, Host: b.d.Config.Name, Text: fmt.Sprintf("no connection with QEMU on %s (%s): %v", b.peer.name, address, err)}
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fail(fmt.Errorf("%w: is the port open between the hosts?", err))
	}
	if kind == stream.ChannelDisk && b.native {
		flags, err := tunnel.NBDClient(ctx, local, false)
		if err == nil {
			err = tunnel.NBDServer(ctx, raw, flags, true)
		}
		if err != nil {
			raw.Close()
			return nil, fail(fmt.Errorf("NBD: %w", err))
		}
	}
	if !b.native {
		return relay.Plain(raw), nil
	}
	c, err := b.d.secure(ctx, b.peer, raw)
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}
