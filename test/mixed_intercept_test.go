package test

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/control"
)

// intercepting starts a daemon with that peer, and interception on.
func (s *site) intercepting(h *lab.Host, peers string) *daemon {
	s.t.Helper()
	needs.Program(s.t, "nft")
	d := s.start(h, conf{peers: peers + "[intercept]\n"})
	d.intercept("up")
	s.t.Cleanup(func() { d.intercept("down") })
	return d
}

// Interception and a host without a sluice: its ports are left alone, and the
// host where it is on is not opened for it.
func TestInterceptionAndHostWithoutSluice(t *testing.T) {
	t.Parallel()
	t.Run("to it", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		s.qemuCertificates()
		a := s.intercepting(s.A, bareTable(s.B, "native-tls"))
		g := s.guest(lab.GuestSpec{})
		a.migrate(g.Name).want(control.Moved, 0)
		s.onlyOn(g, s.B)
	})
	t.Run("to it, whose ports are redirected to sluice", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		a := s.intercepting(s.A, bareTable(s.B, "plain")+"intercept = [\"host-b\"]\n")
		g := s.guest(lab.GuestSpec{})
		refused(a, g, "the kernel leads connections to 192.0.2.2's migration ports to sluice", "leave `intercept` of peers.host-b out or empty")
	})
	t.Run("from it", func(t *testing.T) {
		s := newSite(t)
		s.clientCertificate(s.A, "host-a")
		s.qemuCertificates()
		b := s.intercepting(s.B, "[peers.host-a]\nwithout_sluice = \"plain\"\n")
		g := s.guest(lab.GuestSpec{})
		migrate := func(args ...string) (string, int) {
			_, errs, status := s.run(s.A, "virsh", append([]string{"-q", "migrate", "--live", "--p2p", g.Name, "qemu+tls://host-b/system"}, args...)...)
			return errs, status
		}
		errs, status := migrate()
		if status == 0 {
			t.Fatal("it moved in clear")
		}
		says(t, "virsh", errs, "host-a has no sluice", "a port that `sluice intercept` has closed here", "add --tls")
		errs, status = migrate("--tls", "--migrateuri", "tcp:host-b:49200")
		if status == 0 {
			t.Fatal("it moved by a port that is closed")
		}
		says(t, "virsh", errs, "port 49200 is one of those that interception closes to other hosts (49152-49215)")
		errs, status = migrate("--tls", "--migrateuri", "tcp:host-b:22")
		if status == 0 {
			t.Fatal("root's daemon listened at port 22 for it")
		}
		says(t, "virsh", errs, "port 22 cannot be used for a migration")
		s.check(s.CheckOnlyOn(s.ctx, g, s.A))
		if errs, status = migrate("--tls"); status != 0 {
			t.Fatalf("virsh: %s", errs)
		}
		if e := b.steeredAt(g); e.Outcome != control.Moved || e.TLS != "TLS1.3" {
			t.Errorf("the session is shown as %+v", e)
		}
		s.onlyOn(g, s.B)
	})
}
