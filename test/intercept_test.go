package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// The ports that libvirt takes for migrations and NBD.
const firstPort, lastPort = 49152, 49215

// interceptConf is the configuration of both hosts: who migrates comes by
// libvirt's own URIs, and says tcp:HOST.
func (s *site) interceptConf() conf {
	peers := clients
	for _, h := range s.Hosts() {
		peers += fmt.Sprintf("[peers.%s]\nintercept = [%q, %q]\n", h.Name, h.Name, h.Addr6)
	}
	return conf{
		top:   "metrics = \"127.0.0.1:16515\"\n",
		peers: strings.TrimPrefix(peers, "[peers.host-a]\n") + "[intercept]\n",
	}
}

// interceptedHosts are a daemon on each host, with interception on.
func interceptedHosts(t *testing.T) (s *site, a, b *daemon) {
	t.Helper()
	needs.Program(t, "nft")
	s = newSite(t)
	a, b = s.both(s.interceptConf())
	for _, d := range []*daemon{a, b} {
		d.intercept("up")
		t.Cleanup(func() { d.intercept("down") })
	}
	return s, a, b
}

// intercept runs `sluice intercept` and returns what it printed. It may be
// called after the test has ended.
func (d *daemon) intercept(args ...string) string {
	d.s.t.Helper()
	if args[0] != "down" {
		args = append(args, "--config", d.config)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := d.host.Command(ctx, d.s.command, append([]string{"intercept"}, args...)...).CombinedOutput()
	if err != nil {
		d.s.t.Errorf("sluice intercept %s on %s: %v\n%s", args, d.host.Name, err, out)
	}
	return string(out)
}

// watched runs f and returns what has passed by the link meanwhile.
func (s *site) watched(f func()) *traffic {
	s.t.Helper()
	c, err := s.A.Capture(s.ctx)
	s.check(err)
	f()
	packets, err := c.Stop()
	s.check(err)
	return &traffic{s, packets}
}

type traffic struct {
	s       *site
	packets []lab.Packet
}

// has counts the guest's pages of which a part is to be seen on the link.
func (w *traffic) has(g *lab.Guest) int {
	found := 0
	for _, pattern := range g.Patterns(64) {
		for _, p := range w.packets {
			if bytes.Contains(p.Payload, pattern) {
				found++
				break
			}
		}
	}
	return found
}

// secret checks that the guest's memory, of which at least so many bytes have
// passed by, did so within TLS and by sluice's port alone.
func (w *traffic) secret(g *lab.Guest, least int) {
	w.s.t.Helper()
	if n := w.has(g); n > 0 {
		w.s.t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
	}
	carried, begun := 0, make(map[int]bool)
	for _, p := range w.packets {
		if len(p.Payload) > 0 && (ofMigration(p.From, p.To) || ofMigration(p.To, p.From)) {
			w.s.t.Fatalf("%d bytes went from port %d to port %d", len(p.Payload), p.From, p.To)
		}
		if p.To != 16514 || len(p.Payload) == 0 {
			continue
		}
		carried += len(p.Payload)
		if !begun[p.From] && !bytes.HasPrefix(p.Payload, []byte{22, 3, 1}) { // TLS's handshake
			w.s.t.Errorf("a connection to sluice begins with % x", p.Payload[:min(16, len(p.Payload))])
		}
		begun[p.From] = true
	}
	if carried < least {
		w.s.t.Errorf("%d bytes came to sluice, want %d", carried, least)
	}
}

// libvirtTLS is the port of libvirtd's own TLS, where it has one.
const libvirtTLS = 16600

// ofMigration says whether port may be that of a migration. The kernel gives
// ports of that range to other connections, too.
func ofMigration(port, other int) bool {
	return port >= firstPort && port <= lastPort && !slices.Contains([]int{16509, 16514, libvirtTLS}, other)
}

// carried checks what both daemons say of the connections of a migration, the
// last of which has ended, and returns how many there were.
func (d *daemon) carried(to *daemon) (n int) {
	d.s.t.Helper()
	for _, one := range []*daemon{d, to} {
		one.ended()
		n = 0
		for _, e := range one.status().Ended {
			if e.Kind != "intercept" {
				continue
			}
			n++
			if e.Cause != "" || e.TLS != "TLS1.3" || e.Memory != "sluice" || len(e.Channels) != 1 {
				d.s.t.Errorf("%s shows the connection as %+v", one.host.Name, e)
			}
		}
	}
	return n
}

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
	says(t, "show", a.intercept("show"), "interception is on", "host-b", s.B.Addr, s.B.Addr6)
	out, _ := a.command("status").Output()
	says(t, "status", string(out), s.B.Addr+":491", "interception is on")

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

// libvirtd answers qemu+tls:// itself: no call passes by sluice.
func TestInterceptedByLibvirtsTLS(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	pair, err := s.ca.Issue(pki.Host{Names: []string{"host-b"}})
	s.check(err)
	files, err := pki.WriteLayout(s.B.Path("/etc/pki"), pki.LayoutLibvirt, pki.Set{CA: s.ca, Server: pair, Client: pair})
	s.check(err)
	conf := s.B.Path("/etc/libvirt/libvirtd.conf")
	before, err := os.ReadFile(conf)
	s.check(err)
	restart := func(lines string) {
		t.Helper()
		s.check(os.WriteFile(conf, []byte(strings.Replace(string(before), "listen_tls = 0\n", lines, 1)), 0o644))
		s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGTERM))
		s.check(s.B.StartLibvirtd(s.ctx))
	}
	restart(fmt.Sprintf("listen_tls = 1\ntls_port = \"%d\"\n", libvirtTLS))
	defer restart("listen_tls = 0\n")
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

// Several connections to one port come to QEMU in the order in which they were
// made.
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

// Both daemons stop in the middle of a migration: first without harm, then at
// once.
func TestInterceptedStop(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{})
	v := s.interceptedHalfway(a, g)
	a.signal(syscall.SIGTERM)
	a.logged("no new sessions")
	if e := a.live(); e.Kind != "intercept" {
		t.Errorf("a drain has ended it: %+v", e)
	}
	a.signal(syscall.SIGTERM)
	v.fails()
	a.stopped()
	says(t, "host-b", b.ended().Cause, "host-a: the daemon stops")
	s.onlyOn(g, s.A)
}

// interceptedHalfway starts a migration and returns when a part of memory has
// gone through the daemon.
func (s *site) interceptedHalfway(a *daemon, g *lab.Guest) *virshRun {
	s.t.Helper()
	v := s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b", "--bandwidth", "8")
	s.wait("memory flows", time.Minute, func() bool {
		if !v.running() {
			s.t.Fatalf("virsh migrate ended before: %s", v.errs.String())
		}
		return slices.ContainsFunc(a.status().Sessions, func(e control.SessionStatus) bool { return e.Sent > 2<<20 })
	})
	return v
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

// Where the two sluices don't come together, each says why, and nothing goes in
// clear.
func TestInterceptedStrangers(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{})
	stranger, err := pki.NewCA(pki.Authority{Name: "another CA"})
	s.check(err)
	for _, c := range []struct {
		name  string
		set   func(*conf)
		words []string
	}{
		{"another name", func(c *conf) { c.names = []string{"host-x"} }, []string{"no TLS with host-b", "host-x"}},
		{"another CA", func(c *conf) { c.ca = stranger }, []string{"no TLS with host-b", "another CA"}},
		{"no common policy", func(c *conf) { c.top += "priority = \"NORMAL:-VERS-ALL:+VERS-TLS1.2\"\n" }, []string{"no TLS with host-b", "TLS versions"}},
	} {
		b.killed()
		with := s.interceptConf()
		c.set(&with)
		b = s.start(s.B, with)
		if c.name == "no common policy" {
			a.killed()
			with = s.interceptConf()
			with.top += "priority = \"NORMAL:-VERS-ALL:+VERS-TLS1.3\"\n"
			a = s.start(s.A, with)
		}
		s.watched(func() {
			s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
		}).secret(g, 0)
		says(t, c.name, a.ended().Cause, c.words...)
		s.onlyOn(g, s.A)
	}
}

// As long as the rules are there nothing goes in clear, whoever of the two
// sluices is gone, or goes halfway.
func TestInterceptedWithoutSluice(t *testing.T) {
	t.Parallel()
	for name, which := range map[string]int{"source": 0, "destination": 1} {
		t.Run(name, func(t *testing.T) {
			s, a, b := interceptedHosts(t)
			d := []*daemon{a, b}[which]
			g := s.guest(lab.GuestSpec{})
			d.killed()
			s.watched(func() {
				s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
			}).secret(g, 0)
			s.check(s.CheckOnlyOn(s.ctx, g, s.A))
			if a.alive() {
				says(t, "host-a", a.ended().Cause, "host-a: nothing listens at host-b's host-b:16514: is sluice running there?")
			}
			d.start()
			s.onlyOn(g, s.A)

			w := s.watched(func() {
				v := s.interceptedHalfway(a, g)
				d.killed()
				v.fails()
			})
			w.secret(g, 2<<20)
			if a.alive() {
				says(t, "host-a", a.ended().Cause, "host-b", "its sluice was killed")
			} else {
				says(t, "host-b", b.ended().Cause, "host-a", "its sluice was killed")
			}
			d.start()
			s.onlyOn(g, s.A)
			s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
			s.onlyOn(g, s.B)
		})
	}
}

// Where only the destination intercepts, what comes in clear is refused, and
// where only the source does, the destination's sluice takes nothing.
func TestInterceptedAtOneHost(t *testing.T) {
	t.Parallel()
	needs.Program(t, "nft")
	s := newSite(t)
	c := s.interceptConf()
	both := s.start(s.B, c)
	g := s.guest(lab.GuestSpec{})
	both.intercept("up")
	t.Cleanup(func() { both.intercept("down") })
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").fails("Connection refused")
	}).secret(g, 0)
	says(t, "show", both.intercept("show"), "attempts refused")
	s.onlyOn(g, s.A)
	both.intercept("down")
	both.killed()

	without := c
	without.peers = strings.Replace(without.peers, "[intercept]", "", 1)
	b := s.start(s.B, without)
	a := s.start(s.A, c)
	a.intercept("up")
	t.Cleanup(func() { a.intercept("down") })
	s.watched(func() {
		s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
	}).secret(g, 0)
	says(t, "host-a", a.ended().Cause, "host-b: intercepted connections are not taken", "[intercept]")
	// By its sluice libvirt over there does not even begin.
	s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").fails("sluice on host-b", "in clear", "sluice intercept up")
	b.logged("migration refused")
	s.onlyOn(g, s.A)
}

// What is refused, and in which words.
func TestInterceptRefuses(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	url := "http://host-b:49160/"
	_, errs, status := s.asNobody(s.A, "curl", "-sS", url)
	if status == 0 {
		t.Error("a user that is not QEMU's was carried")
	}
	if !strings.Contains(errs, "reset") {
		t.Errorf("curl: %s", errs)
	}
	a.logged("intercepted connection refused", "uid 65534 may not connect to peers' migration ports")

	if _, _, status = s.run(s.A, "curl", "-sS", url); status == 0 {
		t.Error("curl succeeded")
	}
	sameCause(a, b, "host-b: nothing listens at port 49160: no guest is waited for there")

	// What listens there and is not QEMU is none of a peer's business.
	l := s.B.Command(s.ctx, "setpriv", "--reuid", "65534", "--clear-groups", "qemu-nbd", "--port", "49160", "--persistent", "--image-opts", "driver=null-co")
	s.check(l.Start())
	t.Cleanup(func() {
		l.Process.Kill()
		l.Wait()
	})
	s.wait("qemu-nbd listens", 20*time.Second, func() bool {
		out, _, _ := s.run(s.B, "ss", "-Hltn", "sport = :49160")
		return out != ""
	})
	if _, _, status = s.run(s.A, "curl", "-sS", url); status == 0 {
		t.Error("curl succeeded")
	}
	sameCause(a, b, "host-b: at port 49160 listens another program (uid 65534) than QEMU (qemu_user, uid 0)")

	// Straight at the port, without the kernel's having led it there.
	if _, _, status = s.run(s.A, "curl", "-sS", "http://127.0.0.1:16516/"); status == 0 {
		t.Error("curl succeeded")
	}
	a.logged("the kernel has not led it here")
}

func TestInterceptCommands(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	list := func(args ...string) string {
		out, errs, _ := s.run(s.A, "nft", append(args, "list", "table", "inet", "sluice")...)
		return out + errs
	}
	if printed, want := a.intercept("up", "--print"), list("-s"); printed != want {
		t.Errorf("--print:\n%s\nnft:\n%s", printed, want)
	}
	says(t, "up", a.intercept("up"), "interception was on already")
	says(t, "down", a.intercept("down"), "interception is off")
	if out := list(); !strings.Contains(out, "No such file") {
		t.Errorf("there is still a table: %s", out)
	}
	if rules, _, _ := s.run(s.A, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("left: %s", rules)
	}
	says(t, "down", a.intercept("down"), "interception was off already")
	a.intercept("up", "--print")
	if out := list(); !strings.Contains(out, "No such file") {
		t.Errorf("--print has made a table: %s", out)
	}
	out, errs, status := s.run(s.A, s.command, "intercept", "show", "--config", a.config)
	if status != 1 {
		t.Errorf("show: status %d, %s%s", status, out, errs)
	}
	says(t, "show", out, "interception is off")
	if out := a.intercept("up"); strings.Contains(out, "nobody listens") {
		t.Errorf("up: %s", out)
	}

	// The configuration changes.
	b.killed()
	a.killed()
	other := s.write("other.toml", []byte(strings.NewReplacer("[intercept]", "[intercept]\nports = \"49152-49300\"").Replace(a.read())))
	out, _, status = s.run(s.A, s.command, "intercept", "show", "--config", other)
	if status != 1 {
		t.Errorf("show: status %d", status)
	}
	says(t, "show", out, "the kernel differs from the configuration (intercept.ports is 49152-49300)", "where nobody listens")
	_, errs, status = s.asNobody(s.A, s.command, "intercept", "down")
	if status != 1 {
		t.Errorf("down: status %d", status)
	}
	says(t, "down as nobody", errs, "it takes root, or CAP_NET_ADMIN")
	plain := s.write("plain.toml", []byte("[peers.host-b]\n"))
	_, errs, status = s.run(s.A, s.command, "intercept", "up", "--config", plain)
	if status != 2 {
		t.Errorf("up without [intercept]: status %d", status)
	}
	says(t, "up", errs, "no [intercept] is configured")
	nowhere := s.write("nowhere.toml", []byte("[peers.host-x]\n[intercept]\n"))
	_, errs, status = s.run(s.A, s.command, "intercept", "up", "--config", nowhere)
	if status != 1 {
		t.Errorf("up with a peer that does not resolve: status %d", status)
	}
	says(t, "up", errs, "host-x", "does not resolve", "peers.host-x.intercept")
	says(t, "up", a.intercept("up"), "interception was on already", "nobody listens at port 16516 yet")
	var st control.InterceptStatus
	s.check(json.Unmarshal([]byte(a.intercept("show", "--json")), &st))
	if !st.On || st.Problem != "" || len(st.Routes) != 2 {
		t.Errorf("show --json: %+v", st)
	}
}

// capabilities is a command that runs another with those that a systemd unit
// allows, and no others.
func capabilities(t *testing.T, units ...string) []string {
	t.Helper()
	set := "-all"
	for _, unit := range units {
		text, err := os.ReadFile("../docs/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		_, line, is := strings.Cut(string(text), "\nCapabilityBoundingSet=")
		if !is {
			t.Fatalf("%s bounds no capabilities", unit)
		}
		line, _, _ = strings.Cut(line, "\n")
		for name := range strings.FieldsSeq(line) {
			set += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
		}
	}
	return []string{"setpriv", "--bounding-set", set, "--inh-caps", "-all", "--no-new-privs"}
}

// The systemd units that come with sluice allow what interception takes; the
// daemon's alone does not, which the daemon says.
func TestInterceptAsUnits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.interceptConf()
	c.under = capabilities(t, "sluice.service", "sluice-intercept.conf")
	a, b := s.both(c)
	up := capabilities(t, "sluice-intercept.service")
	for _, d := range []*daemon{a, b} {
		args := append(up[1:], s.command, "intercept", "up", "--config", d.config)
		if out, errs, status := s.run(d.host, up[0], args...); status != 0 {
			t.Fatalf("up: %s%s", out, errs)
		}
		defer d.intercept("down")
	}
	g := s.guest(lab.GuestSpec{})
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
	}).secret(g, 63<<20)
	s.onlyOn(g, s.B)

	a.killed()
	less := capabilities(t, "sluice.service")
	_, errs, status := s.run(s.A, less[0], append(less[1:], s.command, "serve", "--config", a.config)...)
	if status != 1 {
		t.Errorf("without CAP_NET_ADMIN the daemon ends with status %d", status)
	}
	says(t, "sluice serve", errs, "[intercept]", "CAP_NET_ADMIN")
}

// `sluice check` finds what the kernel lacks, and `sluice status` what the
// daemon does not fit.
func TestInterceptChecked(t *testing.T) {
	t.Parallel()
	s, a, _ := interceptedHosts(t)
	check := func(want int, words ...string) {
		t.Helper()
		out, errs, status := s.run(s.A, s.command, "check")
		if status != want {
			t.Errorf("sluice check: status %d, %s%s", status, out, errs)
		}
		says(t, "sluice check", strings.Join(strings.Fields(out), " "), words...)
	}
	check(0, "ok interception ports 49152-49215 are closed to other hosts, and connections to those of 2 addresses are led to sluice")
	if out, errs, status := s.run(s.A, "nft", "flush", "ruleset"); status != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	check(1, "error interception", "interception is off", "sluice intercept up")
	out, _ := a.command("status").Output()
	says(t, "sluice status", string(out), "interception is off")
	a.metrics("sluice_interception 0")

	other := s.write("other.toml", []byte(strings.Replace(a.read(), "[intercept]", "[intercept]\nport = 16517", 1)))
	if out, errs, status := s.run(s.A, s.command, "intercept", "up", "--config", other); status != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	check(1, "error interception", "the kernel differs from the configuration (intercept.port is 16516)")
	out, _ = a.command("status").Output()
	says(t, "sluice status", string(out), "the kernel leads connections to port 16517, and this daemon takes them at 16516")
	a.metrics("sluice_interception 0")
}

// read is the daemon's configuration.
func (d *daemon) read() string {
	d.s.t.Helper()
	raw, err := os.ReadFile(d.config)
	d.s.check(err)
	return string(raw)
}
