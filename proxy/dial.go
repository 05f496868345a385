package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
	"golang.org/x/sys/unix"
)

// dial connects to p and, unless in clear, authenticates it by its configured
// names, whatever its address.
func (d *Peers) dial(ctx context.Context, p *peer, clear bool) (relay.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", p.conf.Address)
	if err != nil {
		return nil, d.dialFailed(p, err)
	}
	if clear {
		return relay.Plain(raw), nil
	}
	c, _, err := tlsconf.Connect(ctx, d.tls(), raw, tlsconf.Client{
		Credentials: d.Certs.current(), Policy: d.Certs.with(p), Name: p.name, Expect: p.rules, Protocols: []string{alpn},
	})
	if err != nil {
		cause := &stream.Cause{Code: stream.CodeRefused, Host: d.Config.Name, Text: fmt.Sprintf("no TLS with %s (%s): %v", p.name, p.conf.Address, err)}
		var other *tlsconf.ProtocolError
		if errors.As(err, &other) { // whose certificate is the peer's
			return nil, &noSluice{cause}
		}
		return nil, cause
	}
	p.seen.Store(true)
	return c, nil
}

// dialFailed puts a connect error into words.
func (d *Peers) dialFailed(p *peer, err error) error {
	c := &stream.Cause{Code: stream.CodeLink, Host: d.Config.Name}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		c.Text = fmt.Sprintf("the name of %s does not resolve (%v): set peers.%s.address, or mend the name service", p.name, dns, p.name)
	case errors.Is(err, unix.ECONNREFUSED):
		c.Text = fmt.Sprintf("nothing listens at %s's %s: is sluice running there?", p.name, p.conf.Address)
		return &noSluice{c}
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		c.Text = fmt.Sprintf("no way to %s (%s): %v", p.name, p.conf.Address, err)
	case errors.Is(err, unix.ETIMEDOUT):
		c.Text = fmt.Sprintf("%s (%s) does not answer: the link is down, a firewall drops the packets, or the host is off", p.name, p.conf.Address)
	default:
		return err // a deadline's words are the caller's
	}
	return c
}

// keepAlive finds a dead peer on a channel that is silent. A link that is down is
// found by the session's control channel. (TCP_USER_TIMEOUT would take a reader
// that is slow for a link that is down.)
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
