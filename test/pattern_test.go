package test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// Hosts that no configuration names find each other by the name service, and know each other by
// their certificates alone: guests go between them by every way, and nowhere else, whatever the name
// service says.
func TestNamesOfPatterns(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 2*testTimeout)
	na, nb, c := s.hostileNames()
	const domain = "[peers.\"*.example.org\"]\n"
	a := s.start(s.A, conf{name: "host-a.example.org", peers: domain})
	b := s.start(s.B, conf{name: "host-b.example.org", peers: domain})
	g := s.guest(lab.GuestSpec{})
	na.Says("host-b.example.org", na.wrong())
	nb.Says("host-a.example.org", nb.right())

	// The one that is there has a certificate of the same domain.
	_, errs, status := s.run(s.A, s.command, "migrate", g.Name, "host-b.example.org")
	if status == 0 {
		t.Fatal("it moved to another host of the domain")
	}
	says(t, "another host's answer", errs, "host-c", "host-b.example.org")
	c.tookNothing(s, true)
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	na.Says("host-b.example.org", na.right())
	if out, errs, status := s.run(s.A, s.command, "migrate", g.Name, "HOST-B.example.org"); status != 0 {
		t.Fatalf("to a host found by a pattern: %s%s", out, errs)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))

	// host-a has come there, so that it has a socket for stock clients.
	s.virshMigrates(s.B, g, "qemu+unix:///system?socket=/run/sluice/peers/host-a.example.org/libvirt.sock", "--p2p").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	// QEMU's own TLS goes by the name that libvirt there has for its host, whatever peers call it.
	s.qemuCertificates()
	s.virshMigrates(s.A, g, "qemu+unix:///system?socket=/run/sluice/peers/host-b.example.org/libvirt.sock", "--p2p", "--tls").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	s.virshMigrates(s.B, g, "qemu+unix:///system?socket=/run/sluice/peers/host-a.example.org/libvirt.sock", "--tls").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	// The process that follows has the socket too.
	later := b.follow()
	if _, err := os.Stat(s.B.Path("/run/sluice/peers/host-a.example.org/libvirt.sock")); err != nil {
		t.Error(err)
	}

	// A third host's certificate is good, and of another domain.
	const run = "/run/sluice-c"
	third := s.start(s.A, conf{name: "host-c.example.net", top: "run_dir = '" + run + "'\nlisten = ':16515'\n", peers: "[peers.\"host-b.example.org\"]\n"})
	_, errs, status = s.run(s.A, s.command, "migrate", "--socket", run+"/control.sock", g.Name, "host-b.example.org")
	if status == 0 {
		t.Fatal("a host of another domain was let in")
	}
	says(t, "a host of another domain", errs, "no peer configured on host-b.example.org has its name", "host-c.example.net")
	third.killed()
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))

	// libvirt's own URI: the destination's sluice finds the source's by its certificate.
	tls := strings.Replace(s.tlsURI("host-a.example.org"), "//host-b/", "//host-b.example.org/", 1)
	s.virshMigrates(s.A, g, tls, "--p2p").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(later, g, "sluice")

	// Who is none any more is told so.
	s.check(os.WriteFile(a.config, bytes.Replace(a.configured(), []byte(domain), nil, 1), 0o600))
	if out, errs, status := s.run(s.A, s.command, "reload"); status != 0 || !strings.Contains(out, "peers removed: *.example.org") {
		t.Errorf("the reload: %s%s", out, errs)
	}
	_, errs, status = s.run(s.B, s.command, "migrate", g.Name, "host-a.example.org")
	if status == 0 {
		t.Fatal("it moved to where it is no peer any more")
	}
	says(t, "without the pattern", errs, "no peer configured on host-a.example.org has its name", "host-b.example.org")
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
}
