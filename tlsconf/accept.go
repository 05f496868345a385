package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Server says what a client's connection is taken with. Credentials and Authorize are needed.
type Server struct {
	Credentials *Credentials
	Policy      *Policy // nil is TLS 1.3 with Go's suites
	Name        string  // what the client is called in errors

	// Authorize says whether a client may come in, whose certificate is good: chain, dates, role,
	// revocation, policy. Its error is Accept's as it is.
	Authorize func(*Peer) error

	Protocols []string // ALPN, most wanted first; none means ALPN is not used
	// InWords refuses after the handshake, so that the client can be told why. An alert has no
	// place for words. Only the chain of clients that ask for none of Protocols is looked at within
	// the handshake.
	InWords bool

	Time func() time.Time // time.Now if nil
}

// Peer is the other end of a handshake, which has shown that it has the key of its certificate.
type Peer struct {
	Identity
	Protocol string // ALPN; empty if none was chosen

	handshake
	state *tls.ConnectionState // nil as long as the handshake is not done
}

// Within checks the handshake, which went by one policy, by another as well. It is for an Authorize
// that is asked after the handshake.
func (p *Peer) Within(policy *Policy) error {
	if p.state == nil {
		return errors.New("a second policy can't be held to before the handshake is done: set InWords")
	}
	h := p.handshake
	h.policy = policy
	return h.checkAll(*p.state)
}

// Refusal is a client that was refused after its handshake.
type Refusal[C Conn] struct {
	Conn     C // to tell it by, and to be closed; nothing that comes from it is to be believed
	Protocol string
	Err      error
}

func (r *Refusal[C]) Error() string { return r.Err.Error() }
func (r *Refusal[C]) Unwrap() error { return r.Err }

// Accept runs the server's side of a handshake over raw, and gives a connection only if Authorize
// lets its client in. The error is a *HandshakeError or what Authorize says, and raw is closed
// then, without a close_notify, which would say that all is well; with InWords the error may also
// be a *Refusal around either, which has the connection.
func Accept[C Conn](ctx context.Context, engine Engine[C], raw net.Conn, s Server) (C, *Peer, error) {
	h := handshake{creds: s.Credentials, role: x509.ExtKeyUsageClientAuth, policy: s.Policy, clock: s.Time}
	var peer *Peer
	var denied error // by Authorize
	authorize := func(state tls.ConnectionState, done bool) (err error) {
		if peer, err = h.peer(state, done); err == nil {
			denied = s.Authorize(peer)
			err = denied
		}
		return err
	}
	cfg := s.Credentials.serverConfig(settings{NextProtos: s.Protocols, Policy: s.Policy, Time: s.Time})
	cfg.VerifyConnection = nil
	if !s.InWords {
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			if err := h.check(state); err != nil {
				return err
			}
			return authorize(state, false)
		}
	}
	gated, cfg := gated(raw, cfg)
	if s.InWords {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(s.Protocols, p) }) {
				return nil, nil
			}
			later := cfg.Clone()
			later.ClientAuth = tls.RequireAnyClientCert
			return later, nil
		}
	}
	explain := func(err error) error {
		if denied != nil {
			return denied
		}
		// crypto/tls has looked at the chain before this has.
		var verify *tls.CertificateVerificationError
		if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
			err = s.Credentials.chainError(verify.UnverifiedCertificates, h.role, now(s.Time), err)
		}
		return s.Policy.Explain(err, s.Name)
	}
	conn, err := engine.Server(ctx, gated, cfg)
	if err != nil {
		return *new(C), nil, explain(err)
	}
	state, _ := conn.ConnectionState()
	if !s.InWords {
		err = s.Policy.finish(state)
	} else if err = h.checkAll(state); err == nil {
		err = authorize(state, true)
	}
	switch {
	case err == nil:
		return conn, peer, nil
	case s.InWords:
		return *new(C), nil, &Refusal[C]{conn, state.NegotiatedProtocol, explain(err)}
	}
	raw.Close()
	return *new(C), nil, explain(err)
}

// handshake is what a handshake is checked by.
type handshake struct {
	creds  *Credentials
	role   x509.ExtKeyUsage // the other end's
	policy *Policy
	clock  func() time.Time
}

// check is all that can be checked within a handshake, but for who the other end is.
func (h handshake) check(state tls.ConnectionState) error {
	return h.creds.verify(state, h.role, settings{Policy: h.policy, Time: h.clock})
}

// checkAll is check, and what shows only once a handshake is done.
func (h handshake) checkAll(state tls.ConnectionState) error {
	if err := h.check(state); err != nil {
		return err
	}
	return h.policy.finish(state)
}

// peer reads the names of the other end, whose certificate has been checked.
func (h handshake) peer(state tls.ConnectionState, done bool) (*Peer, error) {
	id, err := IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return nil, &namesError{err}
	}
	p := &Peer{Identity: id, Protocol: state.NegotiatedProtocol, handshake: h}
	if done {
		p.state = &state
	}
	return p, nil
}

// namesError is a certificate that is good, and whose names are made to be misread.
type namesError struct{ err error }

func (e *namesError) Error() string {
	return fmt.Sprintf("the names in the peer's certificate can't be used: %v", e.err)
}
func (e *namesError) Unwrap() error { return e.err }
