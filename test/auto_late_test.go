package test

import (
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Figures may be older than the end of their migration: what is decided by them changes nothing of a
// guest that has stayed.
func TestAutoTooLate(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 3*time.Minute)
	g := s.guest(lab.GuestSpec{Name: "stayed"})
	uuid, err := virt.ParseUUID(g.UUID)
	s.check(err)
	entry, err := session.NewRegistry(1, 1).Add(stream.Info{ID: stream.NewID(), Guest: g.Name, UUID: g.UUID}, control.Outgoing)
	s.check(err)
	conn := &virt.LazyConn{Libvirt: virt.Libvirt{Socket: s.A.Path("/run/libvirt/libvirt-sock"), Host: s.A.Name}}
	defer conn.Close()
	p := &host.Pursuit{Host: &host.Host{Config: &config.Config{}, State: new(host.State)}, Guest: libvirt.Domain{Name: g.Name, UUID: uuid, ID: -1},
		Entry: entry, Log: zerolog.Nop(), Began: time.Now(), Virt: conn, Decider: converge.New(converge.Goal{Downtime: time.Second})}
	limit := func() string { return s.virshSays(s.A, "migrate-getmaxdowntime", g.Name) }
	before := limit()
	for range 3 {
		p.Take(virt.JobStats{Leaving: true, Total: 1 << 30, Remaining: 1 << 29, MemoryRemaining: 1 << 29, Iteration: 1, Elapsed: time.Second})
	}
	if after := limit(); after != before || before == "" {
		t.Errorf("the downtime limit was %q ms and is %q ms", before, after)
	}
	if made := entry.Decisions(); len(made) > 0 {
		t.Errorf("decisions about a migration that has ended: %v", made)
	}
}
