package proxy

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// interceptTable is [intercept] with a port that is free, and a range of one port.
func interceptTable(t *testing.T, migration int) string {
	t.Helper()
	needs.Root(t, "to ask the kernel about nftables")
	return fmt.Sprintf("[intercept]\nport = %d\nports = '%d'\n", needs.Port(t), migration)
}

// What a peer may not ask of a host that takes intercepted connections.
func TestLandingRefuses(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	port := uint16(needs.Port(t))
	on := interceptTable(t, int(port))
	for _, c := range []struct {
		name, tables string
		port         uint16
		words        []string
	}{
		{name: "not configured", tables: hosttest.PeerA, words: []string{"host-b: intercepted connections are not accepted", "[intercept]"}},
		{name: "read-only", tables: hosttest.PeerA + "access = 'read-only'\n" + on, words: []string{"access denied", `peers.host-a.access is "read-only"`}},
		{name: "another port", tables: hosttest.PeerA + on, port: 22, words: []string{"port 22 is not a migration port there", "intercept.ports"}},
		{name: "no listener", tables: hosttest.PeerA + on, port: port, words: []string{"nothing listens at port", "no guest is expected"}},
		{name: "no port", tables: hosttest.PeerA + on, words: []string{"after its port is known"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pairOfHosts(t, ca)
			b.start("", c.tables)
			a.start("", peerTable(b, ""))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			s, err := a.now().Opener(a.now().Peers.All["host-b"]).Open(ctx, stream.Info{ID: stream.NewID(), Work: session.WorkIntercept})
			if err == nil && c.port != 0 {
				err = s.Call(ctx, "port", map[string]uint16{"port": c.port}, nil)
			} else if err == nil {
				near, far := net.Pipe()
				defer near.Close()
				_, err = s.OpenChannel(ctx, stream.ChannelIntercept, far)
			}
			hosttest.Says(t, err, c.words...)
			if s != nil {
				s.Fail(session.CauseOf(err))
				s.Wait()
			}
		})
	}
}

// A peer does not get at sluice's own sockets, whatever port the kernel has given them.
func TestLandingIsNotForOwnSockets(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA+interceptTable(t, port))
	a.start("", peerTable(b, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := a.now().Opener(a.now().Peers.All["host-b"]).Open(ctx, stream.Info{ID: stream.NewID(), Work: session.WorkIntercept})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Call(ctx, "port", map[string]uint16{"port": uint16(port)}, nil)
	hosttest.Says(t, err, fmt.Sprintf("port %d is held by another program (uid 0), not QEMU", port))
	s.Fail(session.CauseOf(err))
	s.Wait()
}
