package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A session takes the place of a URI that leads where the guest goes anyway, whoever of the two
// hosts knows that it does.
func TestOwnURIReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ofB := []string{"storage-b", s.B.Addr}
	if s.B.Addr6 != "" {
		ofB = append(ofB, s.B.Addr6)
	}
	a, b := s.both(conf{peers: fmt.Sprintf("[peers.host-a]\naliases = [\"storage-a\", %q]\n[peers.host-b]\naliases = [\"%s\"]\n", s.A.Addr, strings.Join(ofB, `", "`))})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	for _, one := range []struct {
		from, to *daemon
		args     []string
	}{
		{a, b, []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp:host-b:49152"}},
		{b, a, []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp://storage-a"}},
		{a, b, []string{"--copy-storage-all", "--migrateuri", "tcp:host-b:49152"}},
		{b, a, []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp://[" + s.A.Addr6 + "]:49200"}}, // by host-a's own word
		{a, b, []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp://" + s.B.Addr + ":49200"}},
	} {
		one.from.virshMigrate(one.to, g, one.args...)
		s.check(s.CompareDisks(s.ctx, g))
		one.from.logged("in place of the client's own URIs", one.args[len(one.args)-1])
		if e := one.from.steeredAt(g); !slices.Equal(e.InPlaceOf, one.args[len(one.args)-1:]) {
			t.Errorf("%v: status shows %q", one.args, e.InPlaceOf)
		}
	}
	out, _ := a.command("status").Output()
	says(t, "status", string(out), "in place of the client's tcp:host-b:49152")
	// So it is with the other names of a peer, where they are given to sluice itself.
	if _, errs, status := s.run(s.B, s.command, "migrate", g.Name, "storage-a", "--copy-storage-all"); status != 0 {
		t.Fatalf("sluice migrate to an alias ends with status %d: %s", status, errs)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	for _, name := range ofB {
		if strings.Contains(name, ":") {
			name = "%5B" + name + "%5D" // libvirt parses no URI with bare brackets in its query
		}
		s.virshMigrates(s.A, g, "qemu+unix:///system?socket=/run/sluice/peers/"+name+"/libvirt.sock", "--p2p", "--copy-storage-all").moves()
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		b.virshMigrate(a, g, "--p2p", "--copy-storage-all")
	}
	s.nothingLeft()
}

// Every other one is refused, with the URI as it was given.
func TestOwnURIRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	for _, one := range []struct{ args, says []string }{
		{[]string{"--p2p", "--migrateuri", "rdma://host-b:49200"}, []string{"sluice on host-a: ", "that root asked for", "in clear", "rdma://host-b:49200", "leave out --migrateuri", "sluice intercept up"}},
		{[]string{"--p2p", "--migrateuri", "unix:///tmp/own.sock", "--disks-uri", "unix:///tmp/own-disks.sock"}, []string{"sluice on host-a: ", "in clear", "leave out --migrateuri and --disks-uri"}},
		{[]string{"--p2p", "--disks-uri", "tcp://host-b:49201"}, []string{"sluice on host-a: ", "in clear", "disks by", "leave out --disks-uri", "--tls"}},
		{[]string{"--p2p", "--migrateuri", "tcp:host-c:49200"}, []string{"access denied", "peer host-a asked for", "host-c", "that host-b knows for its own", "aliases"}},
		{[]string{"--p2p", "--migrateuri", "tcp:127.0.0.1:49200"}, []string{"access denied", "127.0.0.1"}},
		{[]string{"--migrateuri", "tcp:" + s.A.Addr}, []string{"access denied", s.A.Addr}},
	} {
		a.virshStart(g, append(one.args, "--copy-storage-all")...).fails(one.says...)
	}
	if ended := b.status().Ended; len(ended) == 0 || ended[0].Outcome == "moved" {
		t.Errorf("host-b has %+v", ended)
	}
	s.qemuCertificates()
	// Who encrypts it does not matter to where libvirt would make its sockets.
	v := a.virshStart(g, "--p2p", "--unsafe", "--tls", "--migrateuri", "unix:///tmp/own.sock")
	v.fails("access denied: ", "made where host-b chooses")
	b.logged("access denied", "made where host-b chooses")
	s.onlyOn(g, s.A)
}

// A site may have each of them refused, or leave them in clear.
func TestOwnURIKept(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		top  string
		says []string // nil: it moves in clear
	}{
		"refused":  {"migrate_uri = \"refuse\"\n", []string{"sluice on host-a: ", "in clear", "tcp:host-b:49200", "leave out --migrateuri"}},
		"in clear": {"migrate_uri = \"refuse\"\nrequire_secure = false\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{top: one.top})
			g := s.guest(lab.GuestSpec{})
			v := a.virshStart(g, "--p2p", "--migrateuri", "tcp:host-b:49200")
			if one.says != nil {
				v.fails(one.says...)
				s.onlyOn(g, s.A)
				return
			}
			v.moves()
			s.check(s.CheckOnlyOn(s.ctx, g, s.B))
			a.steered(b, g, "nothing")
			s.nothingLeft()
		})
	}
}
