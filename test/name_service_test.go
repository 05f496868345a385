package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/stand"
)

// nameService is a host's, in place of its /etc/hosts.
type nameService struct {
	hosttest.Names
	host *lab.Host
}

// right is the address that the other host of the lab has, wrong that of a third one, which takes
// whatever comes, and closed one at which nothing listens. The latter are on the other host.
func (n *nameService) right() string { return n.host.Peer().Addr }
func (n *nameService) wrong() string { return n.beside(2) }

func (n *nameService) closed() string { return n.beside(4) }

func (n *nameService) beside(by byte) string {
	a := netip.MustParseAddr(n.host.Addr).As4()
	a[3] += by
	return netip.AddrFrom4(a).String()
}

// third is the third host.
type third struct {
	cert  tls.Certificate
	mu    sync.Mutex
	took  bytes.Buffer // in clear, or within TLS
	conns int
}

// hostileNames gives each host a name service that the test decides about, and a third host to lead
// to.
func (s *site) hostileNames() (a, b *nameService, c *third) {
	s.t.Helper()
	needs.Program(s.t, "nft")
	pair, err := s.ca.Issue(pki.Host{Names: []string{"host-c", "host-c.example.org"}})
	s.check(err)
	c = &third{cert: pair.TLS()}
	return s.nameService(s.A, c), s.nameService(s.B, c), c
}

func (s *site) nameService(h *lab.Host, c *third) *nameService {
	s.t.Helper()
	n := &nameService{host: h}
	n.Says(h.Name, h.Addr)
	n.Says(h.Peer().Name, n.right())

	udp, err := h.ListenPacket(s.ctx, "udp", "127.0.0.1:53")
	s.check(err)
	s.t.Cleanup(func() { udp.Close() })
	go n.Serve(udp)
	for file, content := range map[string]string{"/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": "nameserver 127.0.0.1\n"} {
		was, err := os.ReadFile(h.Path(file))
		s.check(err)
		s.check(os.WriteFile(h.Path(file), []byte(content), 0o644))
		s.t.Cleanup(func() { os.WriteFile(h.Path(file), was, 0o644) })
	}

	at := h.Peer()
	l, err := at.Listen(s.ctx, "tcp", ":4000")
	s.check(err)
	stand.Serve(s.t, l, c.take)
	s.onHost(at, "ip", "addr", "add", n.wrong()+"/32", "dev", "eth0")
	s.onHost(at, "ip", "addr", "add", n.closed()+"/32", "dev", "eth0")
	s.onHost(at, "nft", fmt.Sprintf("table ip third {\n"+
		"chain leads { type nat hook prerouting priority dstnat; ip daddr %s meta l4proto tcp redirect to :4000; }\n"+
		"chain closed { type filter hook input priority filter; ip daddr %s meta l4proto tcp reject with tcp reset; }\n}\n", n.wrong(), n.closed()))
	s.t.Cleanup(func() {
		s.onHost(at, "nft", "delete table ip third")
		s.onHost(at, "ip", "addr", "del", n.wrong()+"/32", "dev", "eth0")
		s.onHost(at, "ip", "addr", "del", n.closed()+"/32", "dev", "eth0")
	})
	return n
}

// onHost runs a command there, also after the test's context has ended.
func (s *site) onHost(h *lab.Host, name string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if out, err := h.Command(ctx, name, args...).CombinedOutput(); err != nil {
		s.t.Errorf("%s %s on %s: %v: %s", name, args, h.Name, err, out)
	}
}

// take is a host that knows every protocol up to where a guest's data would come. It has a
// certificate of the site, in its own name.
func (c *third) take(raw net.Conn) {
	c.mu.Lock()
	c.conns++
	c.mu.Unlock()
	raw.SetDeadline(time.Now().Add(time.Minute))
	var first [1]byte
	if _, err := io.ReadFull(raw, first[:]); err != nil {
		return
	}
	begun := &begunConn{raw, io.MultiReader(bytes.NewReader(first[:]), raw)}
	if first[0] != 22 { // of a TLS record
		io.Copy(c, begun)
		return
	}
	secure := tls.Server(begun, &tls.Config{Certificates: []tls.Certificate{c.cert}, ClientAuth: tls.RequestClientCert,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{c.cert}, ClientAuth: tls.RequestClientCert, NextProtos: hello.SupportedProtos}, nil
		}})
	if secure.Handshake() == nil {
		secure.Write([]byte{1}) // libvirtd's word that the certificate is in order
		io.Copy(c, secure)
	}
}

// begunConn is a connection of which some has been read.
type begunConn struct {
	net.Conn
	io.Reader
}

func (b *begunConn) Read(p []byte) (int, error) { return b.Reader.Read(p) }

// Write keeps what was taken.
func (c *third) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took.Len() < 1<<10 {
		c.took.Write(p)
	}
	return len(p), nil
}

// tookNothing checks that it was given nothing. asked: but connections.
func (c *third) tookNothing(s *site, asked bool) {
	s.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took.Len() > 0 {
		s.t.Errorf("the third host was given %q", c.took.Bytes())
	}
	if asked != (c.conns > 0) {
		s.t.Errorf("the third host was connected to %d times", c.conns)
	}
	c.took.Reset()
	c.conns = 0
}
