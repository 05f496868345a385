package proxy

import (
	"context"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// Data may go in clear where both hosts say so; libvirt's calls never do.
func TestNoLibvirtInClear(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("require_secure = false", hosttest.PeerA)
	a.start("require_secure = false", peerTable(b, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := a.now().Opener(a.now().Peers.All["host-b"]).Open(ctx, stream.Info{ID: stream.NewID(), Work: session.WorkLibvirt, Clear: true})
	if err == nil {
		t.Fatal("libvirt's connection may go in clear")
	}
	hosttest.Says(t, err, "host-b: ", "a libvirt channel in clear")
}
