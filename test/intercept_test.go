package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// What knows nothing of sluice, and always says tcp:HOST, is carried by it: by
// libvirt's RPC through sluice, and by libvirtd's own port. Without
// interception the same puts memory on the network.
func TestIntercepted(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{MemoryMiB: 128})
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
	}).secret(g, 127<<20)
	if n := a.carried(b); n != 1 {
		t.Errorf("%d connections were carried", n)
	}
	s.onlyOn(g, s.B)
	a.metrics("sluice_interception 1", `sluice_sessions_ended_total{direction="out",outcome="done",work="intercept"} 1`)
	b.metrics(`sluice_sessions_ended_total{direction="in",outcome="done",work="intercept"} 1`)
	says(t, "show", a.intercept("show"), "Interception: on", "host-b", s.B.Addr, s.B.Addr6)
	out, _ := a.command("status").Output()
	says(t, "status", string(out), s.B.Addr+":491", "Interception: on")

	s.watched(func() {
		s.virshMigrates(s.B, g, "qemu+tcp://host-a/system", "tcp:host-a", "--p2p").moves()
	}).secret(g, 127<<20)
	s.onlyOn(g, s.A)

	a.intercept("down")
	b.intercept("down")
	w := s.watched(func() { s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").moves() })
	if n := w.has(g); n < 32 {
		t.Errorf("without interception %d of 64 pages can be read on the link", n)
	}
	s.onlyOn(g, s.B)
	a.metrics("sluice_interception 0")
}

// libvirt at the source has a URI for disks from its caller alone: the kernel redirects what goes by
// it, and where that of memory leads libvirt at the destination must not choose.
func TestInterceptedDisksURI(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	args := []string{"--p2p", "--copy-storage-all", "--disks-uri", "tcp://" + s.B.Addr + ":49201"}
	a.virshStart(g, args...).fails("sluice on host-a: ", "in clear", "leave out --disks-uri")
	s.watched(func() {
		a.virshStart(g, append(args, "--migrateuri", "tcp:"+s.B.Addr+":49200")...).moves()
	}).secret(g, 8<<20)
	s.check(s.CompareDisks(s.ctx, g))
	if n := a.carried(b); n != 2 {
		t.Errorf("%d connections were carried", n)
	}
	s.onlyOn(g, s.B)
}

// libvirtd answers qemu+tls:// itself: no call passes by sluice.
func TestInterceptedByLibvirtsTLS(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	pair, err := s.ca.Issue(pki.Host{Names: []string{"host-b"}})
	s.check(err)
	files, err := pki.WriteLayout(s.B.Path("/etc/pki"), pki.LayoutLibvirt, pki.Set{CA: s.ca, Server: pair, Client: pair})
	s.check(err)
	undo := s.reconfigureLibvirtd(s.B, func(conf string) string {
		return strings.Replace(conf, "listen_tls = 0\n", fmt.Sprintf("listen_tls = 1\ntls_port = \"%d\"\n", libvirtTLS), 1)
	})
	defer undo()
	defer func() {
		for _, f := range files {
			os.Remove(f)
		}
	}()
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	uri := strings.Replace(s.tlsURI("operator"), "host-b", fmt.Sprintf("host-b:%d", libvirtTLS), 1)
	s.watched(func() {
		s.virshMigrates(s.A, g, uri, "tcp:host-b", "--copy-storage-all").moves()
	}).secret(g, (63+8)<<20)
	s.check(s.CompareDisks(s.ctx, g))
	if n := a.carried(b); n != 2 {
		t.Errorf("%d connections were carried", n)
	}
	s.onlyOn(g, s.B)
	s.check(g.Destroy(s.ctx)) // before libvirtd starts anew
}

func TestInterceptedWithDisks(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{DisksMiB: []int{24, 3}})
	s.check(g.CreateDisks(s.B))
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b", "--copy-storage-all").moves()
	}).secret(g, (63+27)<<20)
	s.check(s.CompareDisks(s.ctx, g))
	if n := a.carried(b); n != 3 {
		t.Errorf("%d connections were carried: one for memory and one for each disk are wanted", n)
	}
	s.onlyOn(g, s.B)
}

// Several connections to one port come to QEMU in the order in which they were made.
func TestInterceptedParallel(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{MemoryMiB: 128})
	s.watched(func() {
		s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b", "--parallel", "--parallel-connections", "8").moves()
	}).secret(g, 127<<20)
	if n := a.carried(b); n != 9 {
		t.Errorf("%d connections were carried, want QEMU's main one and 8", n)
	}
	s.onlyOn(g, s.B)
}

func TestInterceptedPostCopy(t *testing.T) {
	t.Parallel()
	s, _, _ := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 16})
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b", "--postcopy", "--postcopy-after-precopy").moves()
	}).secret(g, 127<<20)
	s.onlyOn(g, s.B)
}

func TestInterceptedIPv6(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:["+s.B.Addr6+"]", "--copy-storage-all").moves()
	}).secret(g, (63+8)<<20)
	s.check(s.CompareDisks(s.ctx, g))
	if n := a.carried(b); n != 2 {
		t.Errorf("%d connections were carried", n)
	}
	if e := a.ended(); !strings.HasPrefix(e.Intended, "["+s.B.Addr6+"]:") {
		t.Errorf("the connection was meant for %s", e.Intended)
	}
	s.onlyOn(g, s.B)
}

// A host that has turned IPv6 off, where QEMU listens at [::] all the same.
func TestInterceptedWithoutIPv6(t *testing.T) {
	t.Parallel()
	needs.Program(t, "nft")
	s := newSite(t)
	turn := func(off int) {
		for _, h := range s.Hosts() {
			out, errs, status := s.run(h, "sh", "-c", fmt.Sprintf("echo %d >/proc/sys/net/ipv6/conf/lo/disable_ipv6", off))
			if status != 0 {
				t.Errorf("%s%s", out, errs)
			}
		}
	}
	turn(1)
	defer turn(0)
	a, b := s.both(s.interceptConf())
	for _, d := range []*daemon{a, b} {
		d.intercept("up")
		defer d.intercept("down")
	}
	g := s.guest(lab.GuestSpec{})
	s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
	if n := a.carried(b); n != 1 {
		t.Errorf("%d connections were carried", n)
	}
	s.onlyOn(g, s.B)
}

// QEMU may listen at one address alone, wherever that is.
func TestInterceptedListenAddress(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	for n, listen := range []string{"127.0.0.1", s.A.Addr, "::1", s.A.Addr6} {
		from, to := s.A, s.B
		if n%2 == 1 {
			from, to = to, from
		}
		s.virshMigrates(from, g, "qemu+tcp://"+to.Name+"/system", "tcp:"+to.Name, "--listen-address", listen, "--copy-storage-all").moves()
		s.check(s.CompareDisks(s.ctx, g))
		s.check(s.CheckOnlyOn(s.ctx, g, to))
	}
	if n := a.carried(b); n != 8 {
		t.Errorf("%d connections were carried", n)
	}
	s.nothingLeft()
}
