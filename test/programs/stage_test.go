package programs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
)

// A stage is two hosts with a sluice on each, and the guest of one case.
type stage struct {
	*lab.Lab
	*site.Site
	root string // of the packages

	t     *testing.T
	ctx   context.Context
	guest *lab.Guest
	uuid  string
}

// caseTimeout bounds one case.
const caseTimeout = 3 * time.Minute

func newStage(t *testing.T) *stage {
	p, err := sluice.Programs()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{Lab: l, root: root}
	// A network for migrations, by which each host has a second name. Its certificate has both, as
	// libvirt wants.
	for _, h := range l.Hosts() {
		hosts := ""
		for _, o := range l.Hosts() {
			hosts += fmt.Sprintf("%s %s %s\n", o.Addr, o.Name, o.Name+migrationNetwork)
		}
		if err := os.WriteFile(h.Path("/etc/hosts"), []byte("127.0.0.1 localhost\n"+hosts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Site, err = site.Start(ctx, l, site.Options{
		Binary: p.Command, Daemon: p.Daemon,
		Certificate: func(h *lab.Host) pki.Host {
			return pki.Host{Names: []string{h.Name, h.Name + migrationNetwork}, IPs: []net.IP{net.ParseIP(h.Addr)}}
		},
		Aliases: func(h *lab.Host) []string { return []string{h.Addr} },
		Config:  "intercept = {}\n", // and off, but for those cases
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// migrationNetwork is the suffix of the hosts' names there.
const migrationNetwork = "-mig"

// play runs a case.
func (s *stage) play(t *testing.T, c *testCase) {
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	s.t, s.ctx = t, ctx
	spec := c.guest
	spec.Name, spec.MemoryMiB, spec.DirtyMiB = cmp.Or(spec.Name, "g"), cmp.Or(spec.MemoryMiB, 64), cmp.Or(spec.DirtyMiB, 1)
	logged := make(map[*site.Daemon]int)
	for _, d := range s.Daemons() {
		logged[d] = len(d.Log())
	}
	g, err := s.Lab.A.StartGuest(ctx, spec)
	s.check(err)
	s.guest = g
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			for _, d := range s.Daemons() {
				t.Logf("log of %s:\n%s", d.Host.Name, d.Log()[logged[d]:])
			}
		}
		if err := g.Destroy(ctx); err != nil {
			t.Error(err)
		}
		for _, h := range s.Hosts() {
			if err := h.WaitClean(ctx); err != nil {
				t.Error(err)
			}
		}
	}()
	s.uuid, err = s.Lab.A.Virsh(ctx, "domuuid", g.Name)
	s.check(err)
	if len(spec.DisksMiB) > 0 {
		s.check(g.CreateDisks(s.Lab.B))
	}
	began := time.Now()
	if c.intercepted {
		s.intercept("up")
		defer s.intercept("down")
	}
	c.move(s)
	if c.stays {
		s.check(s.CheckOnlyOn(ctx, g, s.Lab.A))
		return
	}
	s.check(s.CheckOnlyOn(ctx, g, s.Lab.B))
	if len(spec.DisksMiB) > 0 {
		s.check(s.CompareDisks(ctx, g))
	}
	if c.intercepted {
		s.byInterception(began)
		return
	}
	s.bySession(c.carries(), c.alone)
}

// intercept turns interception on or off at both hosts.
func (s *stage) intercept(word string) {
	s.t.Helper()
	for _, d := range s.Daemons() {
		args := []string{"intercept", word}
		if word == "up" {
			args = append(args, "--config", site.ConfigFile)
		}
		if out, err := d.Command(s.ctx, args...).CombinedOutput(); err != nil {
			s.t.Errorf("sluice intercept %s on %s: %v: %s", word, d.Host.Name, err, out)
		}
	}
}

// byInterception checks that each of QEMU's connections, for memory and for each disk, went by a
// session at both hosts.
func (s *stage) byInterception(since time.Time) {
	s.t.Helper()
	for _, d := range s.Daemons() {
		var all []control.SessionStatus
		st := s.ended(d, func(e control.SessionStatus) bool { return e.Kind == session.WorkIntercept })
		for _, e := range st.Ended {
			if e.Kind == session.WorkIntercept && e.Started.After(since) {
				all = append(all, e)
			}
		}
		if len(all) != 1+len(s.guest.Spec.DisksMiB) || slices.ContainsFunc(all, func(e control.SessionStatus) bool { return e.Memory != session.BySluice || e.Cause != "" }) {
			s.t.Errorf("%s shows the sessions as %+v", d.Host.Name, all)
		}
	}
}

// bySession checks that the guest's data went by one session, of which both hosts tell the same, or
// host-b alone.
func (s *stage) bySession(by string, alone bool) {
	s.t.Helper()
	var ids []string
	daemons := s.Daemons()
	if alone {
		daemons = daemons[1:]
	}
	for _, d := range daemons {
		for _, e := range s.sessions(d) {
			ids = append(ids, e.ID)
			if e.Outcome != control.Moved || e.Memory != by {
				s.t.Errorf("%s shows the session as %+v", d.Host.Name, e)
			}
			if by == session.BySluice && e.Sent+e.Received < uint64(s.guest.Spec.MemoryMiB-1)<<20 {
				s.t.Errorf("%s carried %d bytes of a guest of %d MiB", d.Host.Name, e.Sent+e.Received, s.guest.Spec.MemoryMiB)
			}
		}
	}
	if len(ids) != len(daemons) || ids[0] != ids[len(ids)-1] {
		s.t.Errorf("the sessions are %v", ids)
	}
}

// sessions are those of the guest's data that have ended, once all have.
func (s *stage) sessions(d *site.Daemon) (list []control.SessionStatus) {
	s.t.Helper()
	for _, e := range s.ended(d, func(e control.SessionStatus) bool { return e.UUID == s.uuid }).Ended {
		if e.Kind == session.WorkSteered && e.UUID == s.uuid {
			list = append(list, e)
		}
	}
	return list
}

// ended is a daemon's status, once it has none of these sessions under way.
func (s *stage) ended(d *site.Daemon, which func(control.SessionStatus) bool) *control.Status {
	s.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		st, err := d.Status(s.ctx)
		s.check(err)
		if !slices.ContainsFunc(st.Sessions, which) {
			return st
		}
		select {
		case <-again.C:
		case <-s.ctx.Done():
			s.t.Fatalf("%s has sessions that do not end: %+v", d.Host.Name, st.Sessions)
		}
	}
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// program prepares a program of the packages on a host, where they seem to be installed, for it alone.
func (s *stage) program(h *lab.Host, env []string, name string, args ...string) *lab.Cmd {
	over := "mount -t overlay overlay -o lowerdir=" + filepath.Join(s.root, "usr") + ":/usr /usr && exec \"$0\" \"$@\""
	c := h.Command(s.ctx, "unshare", append([]string{"--mount", "sh", "-c", over, name}, args...)...)
	c.Env = append(c.Env, env...)
	return c
}

// runs runs a program on a host to its end, which must be a success, and returns what it said.
func (s *stage) runs(h *lab.Host, env []string, name string, args ...string) string {
	s.t.Helper()
	out, err := s.program(h, env, name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s on %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), h.Name, err, bytes.TrimSpace(out))
	}
	return string(out)
}
