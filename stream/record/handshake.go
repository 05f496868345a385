package record

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Role is a connection's end.
type Role bool

const (
	IsClient Role = true
	IsServer Role = false
)

// Handshake is a handshake that crypto/tls has finished. Either Take is called,
// and the tls.Conn never touched again, or the tls.Conn is used on.
type Handshake struct {
	TLS       *tls.Conn
	Transport *Transport // below TLS
	role      Role
	secrets   *secrets
}

// Perform runs a handshake by crypto/tls over raw, bounded by ctx. raw is closed
// when it fails. Session tickets are neither sent nor kept: their records would
// count among those of the stream. cfg is not changed.
//
// A raw that is there for the handshake alone, and says by a method NetConn
// what is below it, is left behind once that is over.
func Perform(ctx context.Context, raw net.Conn, cfg *tls.Config, role Role) (*Handshake, error) {
	h := &Handshake{Transport: NewTransport(raw), role: role, secrets: new(secrets)}
	cfg = h.secrets.config(cfg)
	if role == IsClient {
		h.TLS = tls.Client(h.Transport, cfg)
	} else {
		h.TLS = tls.Server(h.Transport, cfg)
	}
	if err := h.TLS.HandshakeContext(ctx); err != nil {
		raw.Close()
		if end := ctx.Err(); end != nil && errors.Is(err, end) { // not one that ended after a failure
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("TLS handshake with %v: %w", raw.RemoteAddr(), err)
	}
	if w, ok := raw.(interface{ NetConn() net.Conn }); ok {
		h.Transport.Conn = w.NetConn()
	}
	return h, nil
}

// Take leaves crypto/tls. It returns ErrUnsupported, with nothing done, for other versions than TLS
// 1.3, for other suites, and where the FIPS 140 mode forbids them.
func (h *Handshake) Take() (*Conn, error) {
	state := h.TLS.ConnectionState()
	s := suites[state.CipherSuite]
	client, server := h.secrets.take()
	if state.Version != tls.VersionTLS13 || s == nil || client == nil || server == nil {
		return nil, ErrUnsupported
	}
	in, out := server, client
	if h.role == IsServer {
		in, out = client, server
	}
	c, err := newConn(h.Transport.Conn, s, h.role, in, out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	c.state = state
	// What the transport has read past the handshake is ours.
	c.in.unread = h.Transport.take()
	return c, nil
}

// Client runs the client's side of a handshake and takes it over. raw is closed when it fails.
func Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (*Conn, error) {
	return performAndTake(ctx, raw, cfg, IsClient)
}

// Server is Client's counterpart.
func Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (*Conn, error) {
	return performAndTake(ctx, raw, cfg, IsServer)
}

func performAndTake(ctx context.Context, raw net.Conn, cfg *tls.Config, role Role) (*Conn, error) {
	h, err := Perform(ctx, raw, cfg, role)
	if err != nil {
		return nil, err
	}
	c, err := h.Take()
	if err != nil {
		raw.Close()
	}
	return c, err
}

// secrets takes the traffic secrets from the lines that crypto/tls writes for a
// key log (NSS's format: label, client random, secret, in hexadecimal).
type secrets struct {
	mu             sync.Mutex
	client, server []byte
}

// config returns a copy of cfg that logs into s. So does whatever the copy's
// GetConfigForClient returns instead of it.
func (s *secrets) config(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	// Starting with small records would only help a browser.
	cfg.DynamicRecordSizingDisabled = true
	cfg.SessionTicketsDisabled = true
	if cfg.KeyLogWriter == nil {
		cfg.KeyLogWriter = s
	} else {
		cfg.KeyLogWriter = io.MultiWriter(s, cfg.KeyLogWriter)
	}
	if get := cfg.GetConfigForClient; get != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			other, err := get(hello)
			if other != nil {
				other = other.Clone()
				other.GetConfigForClient = nil // it isn't asked again
				other = s.config(other)
			}
			return other, err
		}
	}
	return cfg
}

func (s *secrets) Write(line []byte) (int, error) {
	f := bytes.Fields(line)
	if len(f) != 3 {
		return len(line), nil
	}
	var to *[]byte
	switch string(f[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		to = &s.client
	case "SERVER_TRAFFIC_SECRET_0":
		to = &s.server
	default:
		return len(line), nil
	}
	secret := make([]byte, hex.DecodedLen(len(f[2])))
	if _, err := hex.Decode(secret, f[2]); err != nil {
		return 0, fmt.Errorf("record: secret: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*to = secret
	return len(line), nil
}

// take returns the secrets and forgets them.
func (s *secrets) take() (client, server []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client, server = s.client, s.server
	s.client, s.server = nil, nil
	return client, server
}
