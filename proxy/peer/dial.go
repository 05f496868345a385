package peer

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

// Dial connects to p and authenticates it by its configured names, whatever its address. session is
// the one that the connection is about, or empty.
func (s *Set) Dial(ctx context.Context, p *Peer, session string) (relay.Conn, error) {
	return s.dial(ctx, p, p.Conf.Address, session)
}

// DialClear connects in clear to where p has shown its certificate: by then its name could be
// resolved to another host.
func (s *Set) DialClear(ctx context.Context, p *Peer, at net.Addr) (relay.Conn, error) {
	raw, err := s.connect(ctx, p, at.String())
	if err != nil {
		return nil, err
	}
	return relay.Plain(raw), nil
}

func (s *Set) connect(ctx context.Context, p *Peer, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: KeepAlive, Control: backOffLess}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, s.dialFailed(p, err)
	}
	return raw, nil
}

func (s *Set) dial(ctx context.Context, p *Peer, address, session string) (relay.Conn, error) {
	raw, err := s.connect(ctx, p, address)
	if err != nil {
		return nil, err
	}
	c, other, err := tlsconf.Connect(ctx, s.TLS(), raw, tlsconf.Client{
		Credentials: s.Certs.Current(), Policy: s.Policy(p), Name: p.Name, Expect: p.Rules, Protocols: []string{ALPN}, Mark: mark(session),
	})
	if err != nil {
		cause := &stream.Cause{Code: stream.CodeRefused, Host: s.Config.Name, Text: fmt.Sprintf("no TLS with %s (%s): %v", p.Name, p.Conf.Address, err)}
		var protocol *tlsconf.ProtocolError
		if errors.As(err, &protocol) { // whose certificate is the peer's
			return nil, &NoSluiceError{cause}
		}
		return nil, cause
	}
	if err := s.Sole(p, other.Identity); err != nil {
		c.Close()
		return nil, &stream.Cause{Code: stream.CodeRefused, Host: s.Config.Name, Text: fmt.Sprintf("no connection with %s (%s): %v", p.Name, p.Conf.Address, err)}
	}
	s.Saw(p)
	s.known.add(raw.RemoteAddr())
	return c, nil
}

// dialFailed puts a connect error into words.
func (s *Set) dialFailed(p *Peer, err error) error {
	c := &stream.Cause{Code: stream.CodeLink, Host: s.Config.Name}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		c.Text = fmt.Sprintf("the name of %s does not resolve (%v): %s, or fix the name service", p.Name, dns, p.Conf.SetAddress(p.Name))
	case errors.Is(err, unix.ECONNREFUSED):
		c.Text = fmt.Sprintf("nothing listens at %s's %s: is sluice running there?", p.Name, p.Conf.Address)
		return &NoSluiceError{c}
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		c.Text = fmt.Sprintf("cannot reach %s (%s): %v", p.Name, p.Conf.Address, err)
	case errors.Is(err, unix.ETIMEDOUT):
		c.Text = fmt.Sprintf("%s (%s) does not answer: the link is down, a firewall drops the packets, or the host is off", p.Name, p.Conf.Address)
	default:
		return err // a deadline's words are the caller's
	}
	return c
}

// KeepAlive finds a dead peer on a channel that is silent. A link that is down is
// found by the session's control channel. (TCP_USER_TIMEOUT would take a reader
// that is slow for a link that is down.)
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
