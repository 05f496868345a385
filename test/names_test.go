package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A name service that lies, from the beginning or in the middle, leads a guest nowhere else: it goes
// to its peer or stays.
func TestNamesOfPeers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	na, nb, c := s.hostileNames()
	s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	right, wrong := na.right(), na.wrong()
	for _, one := range []struct {
		name    string
		answers []string
		says    string // empty: it moves
	}{
		{"from the beginning", []string{wrong}, "host-c"},
		{"at the data's connections", []string{right, wrong}, "host-c"},
		{"at the first", []string{wrong, right}, "host-c"},
		{"nothing there", []string{na.closed()}, "nothing listens at host-b's"},
	} {
		na.Says("host-b", one.answers...)
		out, errs, status := s.run(s.A, s.command, "migrate", g.Name, "host-b")
		if status == 0 {
			t.Fatalf("%s: it moved: %s", one.name, out)
		}
		says(t, one.name, errs, one.says, "host-b")
		c.tookNothing(s, strings.Contains(errs, "host-c"))
		s.onlyOn(g, s.A)
	}

	// libvirt's own connection, and that of the destination's sluice to the source's.
	na.Says("host-b", wrong)
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").fails("Failed to verify peer's certificate")
	c.tookNothing(s, true)
	na.Says("host-b", right)
	for _, answer := range []string{nb.wrong(), nb.closed()} {
		nb.Says("host-a", answer)
		s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").fails("host-a", "sluice")
		c.tookNothing(s, answer == nb.wrong())
	}
	s.onlyOn(g, s.A)
	nb.Says("host-a", nb.right())
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p", "--migrateuri", "tcp:host-b:49152").moves()
	c.tookNothing(s, false)
	s.onlyOn(g, s.B)
}

// Where peers have addresses, no name is looked up for a migration.
func TestNamesReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	na, nb, c := s.hostileNames()
	a, b := s.both(conf{peers: fmt.Sprintf("[peers.host-a]\naddress = %q\n[peers.host-b]\naddress = %q\n", s.A.Addr, s.B.Addr)})
	na.Says("host-b", na.wrong())
	nb.Says("host-a", nb.wrong())
	g := s.guest(lab.GuestSpec{})
	a.virshMigrate(b, g, "--p2p", "--migrateuri", "tcp:host-b:49152")
	b.virshMigrate(a, g, "--migrateuri", "tcp://host-a")
	a.migrate(g.Name).want("moved", 0)
	c.tookNothing(s, false)
	s.onlyOn(g, s.B)
}

// What may go in clear goes in clear to the host that has shown the peer's certificate, and to no
// other.
func TestNamesInClear(t *testing.T) {
	t.Parallel()
	t.Run("between sluices", func(t *testing.T) {
		s := newSite(t)
		na, _, c := s.hostileNames()
		a := s.start(s.A, conf{top: "require_secure = false\ntls = \"no\"\n"})
		s.start(s.B, conf{top: "require_secure = false\n"})
		g := s.guest(lab.GuestSpec{})
		na.Says("host-b", na.right(), na.wrong())
		a.migrate(g.Name).want("moved", 0)
		c.tookNothing(s, false)
		s.onlyOn(g, s.B)
	})
	t.Run("to a host without a sluice", func(t *testing.T) {
		s := newSite(t)
		na, _, c := s.hostileNames()
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		a := s.start(s.A, conf{peers: bareTable(s.B, "plain")})
		g := s.guest(lab.GuestSpec{DisksMiB: []int{4}})
		s.check(g.CreateDisks(s.B))
		na.Says("host-b", na.right(), na.wrong())
		r := a.migrate(g.Name, "--copy-storage-all").want("failed", 1)
		says(t, "libvirtd elsewhere", r.Message, "its libvirt can't be used", "host-c")
		c.tookNothing(s, true)
		na.Says("host-b", na.closed(), na.right(), na.wrong())
		a.migrate(g.Name, "--copy-storage-all").want("moved", 0)
		c.tookNothing(s, false)
		s.check(s.CompareDisks(s.ctx, g))
		s.onlyOn(g, s.B)
	})
	t.Run("to a host whose sluice is hidden", func(t *testing.T) {
		s := newSite(t)
		na, _, c := s.hostileNames()
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		a, _ := s.start(s.A, conf{peers: bareTable(s.B, "plain")}), s.start(s.B, conf{})
		g := s.guest(lab.GuestSpec{})
		na.Says("host-b", na.closed(), na.right())
		r := a.migrate(g.Name).want("failed", 1)
		says(t, "the way in clear", r.Message, "would go in clear", "there is a sluice at "+na.right(), "its name")
		c.tookNothing(s, false)
		s.onlyOn(g, s.A)
		a.migrate(g.Name).want("moved", 0)
		s.onlyOn(g, s.B)
	})
	t.Run("from a host whose sluice is hidden", func(t *testing.T) {
		s := newSite(t)
		_, nb, c := s.hostileNames()
		s.start(s.A, conf{})
		s.start(s.B, conf{peers: "[peers.host-a]\nwithout_sluice = \"plain\"\n"})
		g := s.guest(lab.GuestSpec{})
		nb.Says("host-a", nb.closed())
		s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").fails("would come in clear", "a sluice of host-a's has spoken with this one")
		c.tookNothing(s, false)
		s.onlyOn(g, s.A)
	})
	t.Run("from a host without a sluice", func(t *testing.T) {
		s := newSite(t)
		na, _, c := s.hostileNames()
		s.start(s.B, conf{peers: "[peers.host-a]\nwithout_sluice = \"plain\"\n"})
		g := s.guest(lab.GuestSpec{})
		na.Says("host-b", na.right(), na.wrong())
		s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").moves()
		c.tookNothing(s, false)
		s.onlyOn(g, s.B)
	})
}

// A tunnel's TLS is the named host's, and localhost is this host whatever a name service says.
func TestNamesOfTunnels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	na, _, c := s.hostileNames()
	s.check(os.WriteFile(s.A.Path("/etc/hosts"), nil, 0o644))
	na.Says("host-b", na.wrong())
	na.Says("localhost", na.wrong())
	cert, key := s.certificate(s.ca, "tunnel", "host-a")
	for _, to := range []struct {
		args  []string
		says  []string
		asked bool
	}{
		{[]string{"--to", "tls:host-b:5000"}, []string{"host-c", "expected host-b"}, true},
		{[]string{"--to", "tcp:localhost:5000"}, []string{"localhost resolves to " + na.wrong(), "write 127.0.0.1 or ::1"}, false},
	} {
		cmd := s.A.Command(s.ctx, s.command, append([]string{"tunnel", "--listen", "exec:echo secret", "--ca", s.write("tunnel-ca.pem", s.ca.CertPEM()), "--cert", cert, "--key", key}, to.args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: %s", to.args, out)
		}
		says(t, strings.Join(to.args, " "), string(out), to.says...)
		c.tookNothing(s, to.asked)
	}
}
