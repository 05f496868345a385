package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A client that speaks with both hosts' libvirt through their sluices moves a
// guest between them, from whichever host and by whichever of the two ways.
func TestVirshBothThroughSluice(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 2*testTimeout)
	a, b := s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n" + bothClients}), s.start(s.B, conf{peers: "[peers.host-a]\n" + bothClients})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	toA := strings.Replace(s.tlsURI("operator"), "//host-b/", "//host-a/", 1)
	toB := s.tlsURI("mover")
	for _, c := range []struct {
		name     string
		on       *lab.Host
		from, to string
		args     []string
	}{
		{"TLS and TLS", s.A, toA, toB, []string{"--copy-storage-all", "--parallel", "--parallel-connections", "2"}},
		{"TLS and the peer's socket", s.A, toA, a.uri(), []string{"--copy-storage-all"}},
		{"the peer's socket and TLS", s.B, b.uri(), toB, []string{"--copy-storage-all"}},
		// By URIs of its own that lead where the guest goes anyway.
		{"TLS and TLS, by two URIs", s.A, toA, toB, []string{"--copy-storage-all", "--migrateuri", "tcp://" + s.B.Addr, "--disks-uri", "tcp://host-b:49201"}},
		{"TLS and the peer's socket, by two URIs", s.A, toA, a.uri(), []string{"--copy-storage-all", "--migrateuri", "tcp:host-b", "--disks-uri", "tcp://" + s.B.Addr + ":49201"}},
		{"TLS and the peer's socket, p2p, by two URIs", s.A, toA, a.uri(), []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp:host-b", "--disks-uri", "tcp://host-b:49201"}},
	} {
		v := s.virshStart(c.on, append([]string{"-c", c.from, "migrate", "--live", g.Name, c.to}, c.args...)...)
		if said, status := v.ends(); status != 0 {
			t.Fatalf("%s: %s", c.name, said)
		}
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		s.check(s.CompareDisks(s.ctx, g))
		a.steered(b, g, "sluice")
		s.nothingLeft()
		// And back, for the next.
		b.virshStart(g, "--p2p", "--copy-storage-all").moves()
		s.check(s.CheckOnlyOn(s.ctx, g, s.A))
		s.nothingLeft()
	}
	for _, e := range append(a.status().Ended, b.status().Ended...) {
		if e.Kind == "client" && e.Cause != "" {
			t.Errorf("a client's session shows %q", e.Cause)
		}
	}
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--unsafe", "--migrateuri", "tcp:host-c"}, []string{"in clear", "tcp:host-c", "leave out --migrateuri"}},
		{[]string{"--copy-storage-all", "--disks-uri", "tcp://host-c:49201"}, []string{"in clear", "tcp://host-c:49201", "leave out --disks-uri"}},
		{[]string{"--p2p", "--copy-storage-all", "--disks-uri", "tcp://host-c:49201"}, []string{"in clear", "tcp://host-c:49201", "leave out --disks-uri"}},
	} {
		to := toB
		if c.args[0] == "--p2p" {
			to = a.uri()
		}
		s.virshStart(s.A, append([]string{"-c", toA, "migrate", "--live", g.Name, to}, c.args...)...).fails(c.says...)
	}
	// With a URI that is replaced only where the source is reached through sluice.
	s.virshStart(s.A, "-c", "qemu:///system", "migrate", "--live", "--unsafe", g.Name, toB, "--copy-storage-all", "--disks-uri", "tcp://host-b:49201").fails("in clear", "leave out --disks-uri")
	// A source that is not reached through sluice would go in clear.
	s.virshStart(s.A, "-c", "qemu:///system", "migrate", "--live", "--unsafe", g.Name, toB).fails("reach-the-source-through-sluice-too-or-add---tls")
	s.onlyOn(g, s.A)
}

// The source's sluice finds the destination's by the name that that one has in its configuration,
// whatever it is called here.
func TestVirshBothByAnotherName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const peer = "[peers.host-b]\naccess = \"full\"\n"
	a := s.start(s.A, conf{peers: peer + bothClients})
	b := s.start(s.B, conf{name: "kvm2.example.org", names: []string{"host-b"}, peers: "[peers.host-a]\n" + bothClients})
	g := s.guest(lab.GuestSpec{})
	migrate := func() *virshRun {
		from := strings.Replace(s.tlsURI("operator"), "//host-b/", "//host-a/", 1)
		return s.virshStart(s.A, "-c", from, "migrate", "--live", g.Name, s.tlsURI("mover"))
	}
	migrate().fails(`calls it "kvm2.example.org"`, "which is no peer's name on host-a", "add it there to aliases in that peer's table")
	s.onlyOn(g, s.A)
	a.killed()
	a = s.start(s.A, conf{peers: peer + "aliases = [\"kvm2.example.org\"]\n" + bothClients})
	migrate().moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "sluice")
	s.nothingLeft()
}
