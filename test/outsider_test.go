package test

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// An outsider is this test, as a program that speaks with host-b's sluice: a peer by its certificate,
// or a stranger that has none. It is on host-a, or on host-b's loopback device, where what it sends
// takes nothing of the link, and from ever new addresses.
type outsider struct {
	s      *site
	name   string // of the peer; empty for a stranger
	tls    *tls.Config
	inside bool
	pace   *rate.Limiter // of connections; nil: as many as it likes
}

func (s *site) outsider(name string) *outsider {
	s.t.Helper()
	// It is host-b that is tested.
	o := &outsider{s: s, name: name, tls: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{peer.ALPN}}}
	if name != "" {
		pair, err := s.ca.Issue(pki.Host{Names: []string{name}})
		s.check(err)
		o.tls.Certificates = []tls.Certificate{pair.TLS()}
	}
	return o
}

// dial connects to host-b's port.
func (o *outsider) dial(ctx context.Context) (*net.TCPConn, error) {
	if o.pace != nil {
		if err := o.pace.Wait(ctx); err != nil {
			return nil, err
		}
	}
	if !o.inside {
		c, err := o.s.A.Dial(ctx, "tcp", "host-b:16514")
		if err != nil {
			return nil, err
		}
		return c.(*net.TCPConn), nil
	}
	all, err := o.dialMany(ctx, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// dialMany connects within host-b, from an address for each of the connections, or so.
func (o *outsider) dialMany(ctx context.Context, n int) (all []*net.TCPConn, err error) {
	from := make([]net.Addr, n)
	for i := range from {
		from[i] = &net.TCPAddr{IP: net.IPv4(127, 1, byte(rand.IntN(256)), byte(1+rand.IntN(254)))}
	}
	conns, err := o.s.B.DialMany(ctx, "tcp", "127.0.0.1:16514", from)
	for _, c := range conns {
		all = append(all, c.(*net.TCPConn))
	}
	return all, err
}

// shake connects, and has done the handshake.
func (o *outsider) shake(ctx context.Context) (*tls.Conn, error) {
	raw, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, o.tls)
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// opener opens sessions as sluice's own do. made, if not nil, is told each connection.
func (o *outsider) opener(made func(*net.TCPConn)) *stream.Opener {
	return &stream.Opener{Host: o.name, Peer: "host-b", Address: "host-b:16514", Dial: func(ctx context.Context, _ string, _ bool) (relay.Conn, error) {
		raw, err := o.dial(ctx)
		if err != nil {
			return nil, err
		}
		if made != nil {
			made(raw)
		}
		return relay.Client(ctx, raw, o.tls)
	}}
}
