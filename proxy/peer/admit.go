package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// MaxRefusals is how many may be told at once why there is nothing for them here: that takes as
// long as the other end likes, within bounds, and anyone can ask for it.
const MaxRefusals = 64

// firstOfTLS is the first byte of a TLS handshake (RFC 8446, section 5.1). The
// length of an open frame begins with 0.
const firstOfTLS = 22

// errElsewhere: another process of this host has the connection.
var errElsewhere = errors.New("another process of this host serves the connection")

// NoHandshake is a handshake that took longer than this.
type NoHandshake time.Duration

func (n NoHandshake) Error() string {
	return fmt.Sprintf("no TLS handshake within %v (limits.handshake_timeout)", time.Duration(n))
}

// Timeout tells tlsconf.Explain, as a net.Error does.
func (NoHandshake) Timeout() bool { return true }

// Caller is a connection that has come in by the port.
type Caller struct {
	Conn          relay.Conn     // nil: another process of this host has the connection
	Who           stream.Who     // a peer's; nobody in clear, where that may be
	LibvirtClient *LibvirtClient // not nil: it did not ask for sluice's protocol (ALPN), and speaks libvirt's

	set *Set          // that has let it in
	tls *tlsconf.Peer // its certificate; nil in clear
}

// Certificate is the names in the caller's; empty in clear.
func (c *Caller) Certificate() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.Identity.String()
}

// By is the caller as s has it, which may have taken the place of the set that let it in.
func (c *Caller) By(s *Set) *Caller {
	if c.set == s || c.tls == nil {
		return c
	}
	now := &Caller{Conn: c.Conn, set: s, tls: c.tls}
	var err error
	if c.LibvirtClient == nil {
		now.Who = s.who(c.tls)
	} else if now.LibvirtClient, err = s.recognize(c.tls); err != nil {
		now.LibvirtClient = &LibvirtClient{Refusal: plainly(err, "")}
	}
	return now
}

// who is whom a peer's certificate stands for.
func (s *Set) who(tls *tlsconf.Peer) (w stream.Who) {
	w.Former = s.formerNames(tls)
	p, err := s.authorize(tls)
	if err != nil {
		w.Denied = plainly(err, "")
		return w
	}
	s.Saw(p)
	w.Peer = p.Name
	return w
}

// Admit authenticates one connection, in a place of handshakes once it has begun to speak. Nothing
// of what it says has been read yet. With an error it is closed.
func (s *Set) Admit(ctx context.Context, raw *net.TCPConn, refuse func(relay.Conn, error)) (*Caller, error) {
	backsOffLess(raw)
	ctx, cancel := context.WithTimeoutCause(ctx, s.Config.Limits.HandshakeTimeout, NoHandshake(s.Config.Limits.HandshakeTimeout))
	defer cancel()
	shaking, done, err := s.begin(ctx, raw)
	switch {
	case errors.Is(err, errElsewhere):
		raw.Close() // the other process has its own descriptor of it
		return new(Caller), nil
	case err != nil:
		raw.Close()
		return nil, err
	case done == nil:
		return &Caller{Conn: relay.Plain(raw)}, nil
	}
	e, refused, err := s.handshake(shaking, raw)
	done()
	if err == nil && e.Who.Peer != "" {
		s.known.add(raw.RemoteAddr())
	}
	if refused != nil {
		select {
		case s.Refusing <- struct{}{}:
			refuse(refused, err)
			<-s.Refusing
		default:
			refused.Close()
		}
	}
	return e, err
}

// begin waits until a connection has begun to speak and there is a place for its handshake, within
// the context that it returns. done gives the place back. done is nil where it speaks in clear, and
// may.
func (s *Set) begin(ctx context.Context, raw *net.TCPConn) (_ context.Context, done func(), err error) {
	addr, _ := addrOf(raw.RemoteAddr())
	known := s.at[addr] || s.known.has(addr)
	if !known && !s.rates.allow(addr, time.Now()) {
		return nil, nil, errTooFast
	}
	if !known {
		addr = sockets.Source(addr)
	}
	waiting, over := s.pending.add(ctx, addr, known)
	defer over()
	first, err := firstRecord(waiting, raw)
	if err != nil || first[0] != firstOfTLS && !s.Config.Secure() {
		return nil, nil, err
	}
	if s.Elsewhere != nil && first[0] == firstOfTLS && s.Elsewhere(ctx, raw, first) {
		return nil, nil, errElsewhere
	}
	return s.handshakes.take(ctx, waiting, addr, known)
}

// handshake finds out who has come. An error with a connection is one that its peer may be told.
func (s *Set) handshake(ctx context.Context, raw net.Conn) (e *Caller, refused relay.Conn, err error) {
	e = &Caller{set: s}
	e.Conn, _, err = tlsconf.Accept(ctx, s.TLS(), raw, tlsconf.Server{
		Credentials: s.Certs.Current(), Policy: s.Policies.Host, Name: raw.RemoteAddr().String(), Protocols: []string{ALPN}, InWords: true, Time: s.Clock,
		Authorize: func(who *tlsconf.Peer) (err error) {
			e.tls = who
			if who.Protocol != ALPN {
				e.LibvirtClient, err = s.recognize(who)
				return err
			}
			if e.Who = s.who(who); e.Who.Peer == "" && len(e.Who.Former) == 0 {
				return e.Who.Denied
			}
			return nil
		},
	})
	var told *tlsconf.Refusal[relay.Conn]
	switch {
	case err == nil:
		return e, nil, nil
	case !errors.As(err, &told):
		return nil, nil, err
	case told.Protocol != ALPN:
		return &Caller{Conn: told.Conn, LibvirtClient: &LibvirtClient{Refusal: plainly(told.Err, "")}}, nil, nil
	}
	return nil, told.Conn, plainly(told.Err, "")
}
