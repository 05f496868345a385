package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"golang.org/x/sys/unix"
)

// ConnectLibvirt opens qemu:///system of a host without a sluice, at its libvirt_uri, with this
// host's certificate, and only if the other is the peer's.
func (s *Set) ConnectLibvirt(ctx context.Context, p *Peer) (*virt.Conn, error) {
	_, address, secure := p.Conf.LibvirtAt()
	fail := func(code, format string, args ...any) error {
		text := fmt.Sprintf(format, args...)
		if Late(ctx) {
			code, text = stream.CodeLink, context.Cause(ctx).Error()
		}
		return &stream.Cause{Code: code, Host: s.Config.Name, Text: fmt.Sprintf("%s has no sluice, and its libvirt can't be used (%s): %s", p.Name, p.Conf.LibvirtURI, text)}
	}
	dialer := net.Dialer{KeepAliveConfig: KeepAlive, Control: backOffLess}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fail(stream.CodeLink, "%v: does libvirtd run there, and listen (listen_tls, libvirtd-tls.socket)?", err)
	case err != nil:
		return nil, fail(stream.CodeLink, "%v", err)
	}
	conn := relay.Plain(raw)
	if secure {
		conn, err = s.SecureOther(ctx, p, raw)
		switch {
		case errors.Is(err, errSluice):
			return nil, &stream.Cause{Code: stream.CodeRefused, Host: s.Config.Name, Text: fmt.Sprintf("this is not libvirtd of %s (%s): %v", p.Name, p.Conf.LibvirtURI, err)}
		case err != nil:
			return nil, fail(stream.CodeRefused, "%v", err)
		}
		var taken [1]byte
		stop := context.AfterFunc(ctx, func() { raw.Close() })
		_, err = io.ReadFull(conn, taken[:])
		if !stop() || err != nil || taken != [1]byte(LibvirtConfirmation) {
			conn.Close()
			return nil, fail(stream.CodeRefused, "libvirtd refuses this host's certificate, or is another program (%v): its log says why; tls_allowed_dn_list in libvirtd.conf is a possible reason", err)
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

// Late says whether ctx has ended. A socket may see its deadline a moment before.
func Late(ctx context.Context) bool {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// LibvirtVersion asks libvirtd of a peer that has no sluice for its version.
func (s *Set) LibvirtVersion(ctx context.Context, name string) (string, error) {
	v, err := s.ConnectLibvirt(ctx, s.Get(name))
	if err != nil {
		return "", err
	}
	defer v.Close()
	all, err := v.Versions(ctx)
	return all.Libvirt, err
}
