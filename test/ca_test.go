package test

import (
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// The authority is replaced by the steps of docs/guides.md: in whatever order hosts take them, the
// guest still moves, and daemons are neither reloaded nor restarted. A host that is left behind is
// refused once the old authority is gone.
func TestRollingTheCA(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 8*time.Minute)
	after, err := pki.NewCA(pki.Authority{Name: "new CA"})
	s.check(err)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	here, there := a, b
	moves := func() {
		t.Helper()
		here.migrate(g.Name).want(control.Moved, 0)
		here, there = there, here
	}
	change := func(d *daemon, do func()) {
		t.Helper()
		now := time.Now()
		do()
		d.loaded(now)
	}
	trusts := func(d *daemon, pem []byte) {
		t.Helper()
		change(d, func() { s.write(d.host.Name+"-ca.pem", pem) })
	}
	renewed := func(d *daemon) {
		t.Helper()
		change(d, func() { s.certificate(after, d.host.Name, d.host.Name) })
	}
	both := append(s.ca.CertPEM(), after.CertPEM()...)
	trusts(a, both)
	moves()
	trusts(b, both)
	renewed(here)
	moves()
	// Too early: the other host still shows the old one's certificate.
	trusts(there, after.CertPEM())
	r := here.migrate(g.Name).want(control.Failed, 1)
	says(t, "the cause", r.Cause, "does not come from a CA that this host trusts", "CN=CA of this test")
	trusts(there, both)
	renewed(here)
	moves()
	trusts(a, after.CertPEM())
	moves()
	trusts(b, after.CertPEM())
	moves()
	s.onlyOn(g, here.host)
}
