package test

import (
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// bothClients are whose migrations go through both hosts' sluices.
const bothClients = "[clients.operators]\nnames = [\"operator\"]\naccess = \"full\"\n[clients.movers]\nnames = [\"mover\"]\naccess = \"migrate\"\n"

// A client that speaks with both hosts' libvirt through their sluices loses the answer to Finish.
// The source's sluice learns from the destination's what became of the guest, before the client's
// Confirm may have it resumed.
func TestVirshBothLostFinish(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		to    func(s *site, a *daemon) string
		fence string
		fails bool // at the destination
	}{
		{"TLS, it runs there", func(s *site, _ *daemon) string { return s.tlsURI("mover") }, "false", false},
		{"TLS, it fails there", func(s *site, _ *daemon) string { return s.tlsURI("mover") }, "false", true},
		{"the peer's socket, it runs there", func(_ *site, a *daemon) string { return a.uri() }, "true", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n" + bothClients, limits: defaults}),
				s.start(s.B, conf{peers: "[peers.host-a]\n" + bothClients, limits: defaults})
			g := s.guest(lab.GuestSpec{})
			from := strings.Replace(s.tlsURI("operator"), "//host-b/", "//host-a/", 1)
			v := s.virshStart(s.A, "-c", from, "migrate", "--live", g.Name, c.to(s, a), "--bandwidth", "32")
			v.flows(a, g)
			thaw := s.freezeLibvirtd(s.B)
			a.logged("the guest is held here", `"fenced":`+c.fence)
			b.inFinish()
			before, err := g.Passes(s.A)
			s.check(err)
			s.check(s.CutLink())
			if c.fails {
				s.killQEMU(g, s.B)
			}
			thaw()
			if !c.fails {
				s.check(g.WaitPasses(s.ctx, s.B, 3))
			}
			s.wait("the loss is known at the source", 90*time.Second, func() bool { return strings.Contains(a.log(), lostFinish) })
			if now, err := g.Passes(s.A); err != nil || now != before {
				t.Errorf("the guest has made %d passes on host-a (%v), and may run on host-b", now-before, err)
			}
			s.check(s.RestoreLink())
			v.ends()
			if c.fails {
				s.check(g.WaitPasses(s.ctx, s.A, 3))
				s.onlyOn(g, s.A)
				return
			}
			s.wait("host-a lets go of the guest", time.Minute, func() bool {
				left, err := s.A.Virsh(s.ctx, "list", "--all", "--name")
				return err == nil && left == ""
			})
			if now, err := g.Passes(s.A); err != nil || now != before {
				t.Errorf("the guest has made %d passes on host-a after Finish (%v)", now-before, err)
			}
			s.onlyOn(g, s.B)
		})
	}
}
