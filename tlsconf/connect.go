package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"
)

// Conn is a connection after its handshake.
type Conn interface {
	net.Conn
	// ConnectionState is the finished handshake's; false says that there was none.
	ConnectionState() (tls.ConnectionState, bool)
}

// Engine runs handshakes; a relay.TLS. It owns raw: with an error it is closed, else by the
// connection's Close.
type Engine[C Conn] interface {
	Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (C, error)
	Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (C, error)
}

// Client says what a connection to a server is made with. Credentials and Expect are needed.
type Client struct {
	Credentials *Credentials
	Policy      *Policy // nil is TLS 1.3 with Go's suites
	Name        string  // what the server is called in errors
	Expect      Rules   // it must have one of these names; which address was dialled has no part in it

	Protocols []string // ALPN, most wanted first; none means ALPN is not used
	AnyProto  bool     // the server need not choose one of Protocols
	Mark      string   // a further protocol, for the server to read and not to choose; empty: none

	Time func() time.Time // time.Now if nil
	Seen *Seen            // filled in as the handshake goes; may be nil
}

// Seen is what a server has shown in a handshake, also in one that failed.
type Seen struct {
	Leaf     *x509.Certificate // not to be believed
	Finished bool              // the server's side is through, whatever this host makes of it
	Protocol string            // that it chose
	Asked    bool              // for a certificate
}

// Connect runs the client's side of a handshake over raw, and lets nobody but who is expected be
// the server. With an error raw is closed, without a close_notify, which would say that all is
// well.
//
// The error is a *HandshakeError around a *ChainError if the server's certificate does not come
// from the CA or is out of date, a *NameError if it is somebody else's, a *ProtocolError if none of
// Protocols was chosen, a *PolicyError if the handshake came to something outside of Policy.
func Connect[C Conn](ctx context.Context, engine Engine[C], raw net.Conn, c Client) (C, *Peer, error) {
	h := handshake{creds: c.Credentials, role: x509.ExtKeyUsageServerAuth, policy: c.Policy, clock: c.Time}
	gated, cfg := gated(raw, c.config())
	conn, err := engine.Client(ctx, gated, cfg)
	if err != nil {
		return *new(C), nil, c.Policy.Explain(err, c.Name)
	}
	state, _ := conn.ConnectionState() // its certificate has been checked, and its name
	err = c.Policy.finish(state)
	var peer *Peer
	if err == nil {
		peer, err = h.peer(state, true)
	}
	if err != nil {
		raw.Close()
		return *new(C), nil, c.Policy.Explain(err, c.Name)
	}
	return conn, peer, nil
}

// Probe finds out what a server is that is not the one expected. It believes nothing that it is
// told, sends nothing, and returns the first byte that the server sends before ctx ends or patience
// is over. raw is closed.
func Probe[C Conn](ctx context.Context, engine Engine[C], raw net.Conn, c Client, patience time.Duration) (byte, error) {
	c.Protocols = nil
	cfg := c.config()
	cfg.VerifyConnection = nil
	gated, cfg := gated(raw, cfg)
	conn, err := engine.Client(ctx, gated, cfg)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	var first [1]byte
	_, err = conn.Read(first[:])
	return first[0], err
}

func (c Client) config() *tls.Config {
	opts := settings{NextProtos: c.Protocols, Policy: c.Policy, Time: c.Time}
	if c.AnyProto {
		opts.NextProtos = nil
	}
	cfg := c.Credentials.clientConfig(c.Expect, opts)
	cfg.NextProtos = c.Protocols
	if c.Mark != "" {
		cfg.NextProtos = append(slices.Clone(c.Protocols), c.Mark)
	}
	seen := c.Seen
	if seen == nil {
		seen = new(Seen)
	}
	showCertificate(cfg, seen)
	cfg.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) > 0 {
			seen.Leaf, _ = x509.ParseCertificate(raw[0])
		}
		return nil
	}
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		seen.Finished, seen.Protocol = true, state.NegotiatedProtocol
		return verify(state)
	}
	return cfg
}

// showCertificate makes a client show its certificate also to a server that has not listed its CA
// among those it trusts. Left to itself crypto/tls would show none, and the server say that one is
// missing rather than that it comes from the wrong CA.
func showCertificate(cfg *tls.Config, seen *Seen) {
	cfg.GetClientCertificate = func(req *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.Asked = true
		anyCA := *req
		anyCA.AcceptableCAs = nil
		for _, r := range []*tls.CertificateRequestInfo{req, &anyCA} {
			for i := range cfg.Certificates {
				if r.SupportsCertificate(&cfg.Certificates[i]) == nil {
					return &cfg.Certificates[i], nil
				}
			}
		}
		return new(tls.Certificate), nil
	}
}
