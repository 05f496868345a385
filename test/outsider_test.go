package test

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// An outsider is this test, as a program on host-a that speaks with host-b's sluice: a peer by its
// certificate, or a stranger that has none.
type outsider struct {
	s    *site
	name string // of the peer; empty for a stranger
	tls  *tls.Config
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
	c, err := o.s.A.Dial(ctx, "tcp", "host-b:16514")
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// opener opens sessions as sluice's own do. made, if not nil, is told each connection.
func (o *outsider) opener(made func(*net.TCPConn)) *stream.Opener {
	return &stream.Opener{Host: o.name, Peer: "host-b", Address: "host-b:16514", Dial: func(ctx context.Context, _ bool) (relay.Conn, error) {
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
