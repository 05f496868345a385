package test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// terminating says whether SIGTERM waits for the QEMU of the only guest on a host, which is stopped.
func (s *site) terminating(h *lab.Host) bool {
	s.t.Helper()
	pids, err := h.Processes("qemu-system-x86_64")
	s.check(err)
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return false
		}
		for line := range bytes.Lines(status) {
			name, set, _ := strings.Cut(string(line), ":")
			if pending, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64); err == nil && (name == "ShdPnd" || name == "SigPnd") && pending&(1<<(uint(syscall.SIGTERM)-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// libvirtd at the source is killed in the midst of a peer-to-peer Confirm, which is no call that
// anybody else can see: it has sent SIGTERM to the QEMU that is stopped, and waits for its end.
func TestFenceKilledInConfirm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	st := s.inFinish(lab.GuestSpec{Persistent: true}, "--p2p", "--persistent", "--undefinesource")
	thawA := s.freezeLibvirtd(s.A)
	st.takenOver()
	st.b.logged("guest runs here")
	// Pings come beside it, of 28 bytes each, six at most: then sluice gives libvirtd up.
	st.wait("the answer has come to libvirtd at the source", 30*time.Second, func() bool { return s.unread(s.A, "host-b") > 200 })
	st.a.signal(syscall.SIGSTOP) // it would end QEMU within a moment
	thawA()
	st.wait("libvirtd at the source ends QEMU", time.Minute, func() bool { return st.terminating(s.A) })
	st.check(s.A.KillLibvirtd(s.ctx, syscall.SIGKILL))
	st.check(s.A.StartLibvirtd(s.ctx))
	st.a.signal(syscall.SIGCONT)
	st.v.ends()
	st.wait("host-a lets go of the guest", 60*time.Second, func() bool {
		left, err := s.A.Virsh(s.ctx, "list", "--all", "--name")
		return err == nil && left == ""
	})
	if n := st.passes(); n != st.begun {
		t.Errorf("the guest has made %d passes on host-a, after Finish", n-st.begun)
	}
	s.onlyOn(st.g, s.B)
}

// unread is how many bytes libvirtd has not read yet of what sluice has written to it by a peer's socket.
func (s *site) unread(h *lab.Host, peer string) (n int) {
	s.t.Helper()
	out, errs, status := s.run(h, "ss", "-xH", "state", "established")
	if status != 0 {
		s.t.Fatalf("ss ended with status %d: %s", status, errs)
	}
	queued := map[string]int{} // by inode
	var inodes []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line) // kind, queues, local address and inode, remote address and inode
		if len(f) != 7 {
			continue
		}
		queued[f[4]], _ = strconv.Atoi(f[1])
		if strings.HasSuffix(f[3], "/peers/"+peer+"/libvirt.sock") {
			inodes = append(inodes, f[6])
		}
	}
	for _, inode := range inodes {
		n += queued[inode]
	}
	return n
}

// Where sluice sets no fence, libvirt at the source keeps the guest paused until sluice's Confirm,
// also if sluice is killed while the destination takes the guest over; the next daemon settles it.
func TestKilledWithoutFence(t *testing.T) {
	t.Parallel()
	native := func(s *site) (a *daemon) {
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		s.qemuCertificates()
		return s.start(s.A, conf{peers: bareTable(s.B, "native-tls"), limits: defaults})
	}
	both := func(s *site) *daemon {
		a, _ := s.both(conf{limits: defaults})
		return a
	}
	for _, c := range []struct {
		name  string
		start func(s *site) *daemon
		begin func(s *site, a *daemon, g *lab.Guest)
	}{
		{"sluice migrate", both, func(s *site, a *daemon, g *lab.Guest) { a.migrate(g.Name, "--bandwidth", "16").halfway() }},
		{"sluice migrate to a host without a sluice", native, func(s *site, a *daemon, g *lab.Guest) { a.migrate(g.Name, "--bandwidth", "16").halfway() }},
		{"a client of both hosts", func(s *site) *daemon {
			a := s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n" + bothClients, limits: defaults})
			s.start(s.B, conf{peers: "[peers.host-a]\n" + bothClients, limits: defaults})
			return a
		}, func(s *site, a *daemon, g *lab.Guest) {
			from := strings.Replace(s.tlsURI("operator"), "//host-b/", "//host-a/", 1)
			s.virshStart(s.A, "-c", from, "migrate", "--live", g.Name, s.tlsURI("mover"), "--bandwidth", "32").flows(a, g)
		}},
		{"a pull", func(s *site) *daemon {
			a, _ := s.pulls()
			return a
		}, func(s *site, a *daemon, g *lab.Guest) {
			s.virshStart(s.B, "-c", s.daemons[1].uri(), "migrate", "--live", g.Name, "qemu:///system", "--bandwidth", "32").flows(a, g)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a := c.start(s)
			g := s.guest(lab.GuestSpec{})
			c.begin(s, a, g)
			thaw := s.freezeLibvirtd(s.B)
			a.logged("the guest is held here", `"fenced":false`)
			before, err := g.Passes(s.A)
			s.check(err)
			a.killed()
			thaw()
			s.check(g.WaitPasses(s.ctx, s.B, 3))
			if now, err := g.Passes(s.A); err != nil || now != before {
				t.Errorf("the guest has made %d passes on host-a (%v), and runs on host-b", now-before, err)
			}
			a.restarted()
			s.wait("host-a lets go of the guest", 60*time.Second, func() bool {
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

// A guest that its user destroys in the midst of its migration is certain: it is on neither host,
// and that is said.
func TestDestroyedInMigration(t *testing.T) {
	t.Parallel()
	t.Run("while memory flows", func(t *testing.T) {
		s := newSite(t)
		a, _ := s.both(conf{})
		g := s.guest(lab.GuestSpec{})
		m := a.migrate(g.Name, slow...)
		m.halfway()
		s.virsh(s.A, "destroy", g.Name)
		r := m.want(control.Failed, 1)
		says(t, "the message", r.Message, "guest g has ended on host-a, and is not on host-b")
	})
	t.Run("in Finish, which fails", func(t *testing.T) {
		s := newSite(t)
		a, _ := s.both(conf{})
		g := s.guest(lab.GuestSpec{})
		m, thaw := s.finishHangs(a, g)
		s.virsh(s.A, "destroy", g.Name)
		s.killQEMU(g, s.B)
		thaw()
		r := m.want(control.Failed, 1)
		says(t, "the message", r.Message, "guest g has ended on host-a, and is not on host-b")
	})
	t.Run("in Finish, and it runs there", func(t *testing.T) {
		s := newSite(t)
		a, _ := s.both(conf{})
		g := s.guest(lab.GuestSpec{})
		m, thaw := s.finishHangs(a, g)
		s.virsh(s.A, "destroy", g.Name)
		thaw()
		m.want(control.Moved, 0)
		s.onlyOn(g, s.B)
	})
}
