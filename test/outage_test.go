package test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/lab"
)

// outage is longer than the last attempt of a TCP that doubles its pauses and still comes within
// idle_timeout, and shorter than that.
const outage = 24 * time.Second

// An outage that is shorter than idle_timeout is ridden out, at the defaults, by all ways.
func TestOutage(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS)
	unix.Close(fd)
	if err != nil {
		t.Skip("TCP of this kernel doubles its pauses without a bound (before Linux 6.15)")
	}
	for name, moves := range map[string]func(s *site, a, b *daemon, g *lab.Guest, cut func()){
		"sluice migrate": func(s *site, a, b *daemon, g *lab.Guest, cut func()) {
			m := a.migrate(g.Name, "--bandwidth", "4")
			m.halfway()
			cut()
			moved(m, g, a, b)
		},
		"peer to peer": func(s *site, a, b *daemon, g *lab.Guest, cut func()) {
			v := a.virshStart(g, "--p2p", "--bandwidth", "4")
			v.flows(a, g)
			cut()
			v.moves()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.both(conf{limits: defaults})
			g := s.guest(lab.GuestSpec{})
			moves(s, a, b, g, func() {
				s.check(s.CutLink())
				over := time.NewTimer(outage)
				select {
				case <-over.C:
				case <-s.ctx.Done():
				}
				s.check(s.RestoreLink())
			})
			s.onlyOn(g, s.B)
		})
	}
}
