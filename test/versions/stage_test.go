package versions

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A stage is what one case has: a sluice on each of two hosts, and a guest on host-a.
type stage struct {
	*hosts
	t    *testing.T
	ctx  context.Context
	site *site.Site
	g    *lab.Guest
}

// caseTimeout bounds one case.
const caseTimeout = 5 * time.Minute

// newStage sets the stage for a case, and has the hosts as new when it has ended.
func newStage(t *testing.T, h *hosts, c *testCase) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	s := &stage{hosts: h, t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		s.close()
	})
	p, err := sluice.Programs()
	s.check(err)
	s.site, err = site.Start(ctx, h.Lab, site.Options{Binary: p.Command, Daemon: p.Daemon, Config: cmp.Or(c.config, patient), Peer: c.peer})
	s.check(err)
	spec := c.spec
	spec.Name, spec.MemoryMiB = "g", 64
	if spec.Machine == "" {
		spec.Machine = h.direction.machine()
	}
	s.g, err = s.A.StartGuest(ctx, spec)
	s.check(err)
	s.check(s.g.CreateDisks(s.B))
	return s
}

// close shows what helps to find out why a case failed, and makes the hosts as new.
func (s *stage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	problem := func(err error) {
		if err != nil {
			s.t.Errorf("after the case: %v", err)
		}
	}
	problem(s.RestoreLink())
	problem(s.SlowLink(0))
	if s.g != nil {
		problem(s.g.Destroy(ctx))
	}
	if s.site != nil {
		problem(s.site.Stop())
		for _, d := range s.site.Daemons() {
			if log := stand.Misbehaved(d.Log()); log != "" {
				s.t.Errorf("sluice on %s misbehaved:\n%s", d.Host.Name, log)
			}
		}
	}
	for _, h := range s.Hosts() {
		problem(os.RemoveAll(h.Path("/run/sluice")))
		problem(h.RemoveFiles("/var/lib/sluice"))
		problem(h.RemoveFiles("/etc/pki"))
		problem(h.WaitClean(ctx))
	}
	if !s.t.Failed() {
		return
	}
	for _, h := range s.Hosts() {
		for _, log := range []string{site.LogFile, lab.LogOf(h.Libvirtd()), lab.LogOf(lab.Virtproxyd), "/var/log/libvirt/qemu/g.log"} {
			raw, _ := os.ReadFile(h.Path(log))
			s.t.Logf("%s of %s ends with:\n%s", log, h.Name, raw[max(0, len(raw)-6<<10):])
		}
	}
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wait asks done again and again until it is true.
func (s *stage) wait(what string, done func() bool) {
	s.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-s.ctx.Done():
			s.t.Fatalf("%s: not within %v from the case's beginning", what, caseTimeout)
		}
	}
}

// A migration is one `sluice migrate --json` under way.
type migration struct {
	s      *stage
	cmd    *lab.Cmd
	events stand.Events
	stderr bytes.Buffer
	exited chan struct{}
}

// migrate starts `sluice migrate` on host-a.
func (s *stage) migrate(args ...string) *migration {
	s.t.Helper()
	m := &migration{s: s, exited: make(chan struct{})}
	m.cmd = s.site.A.Command(s.ctx, append([]string{"migrate", "--json", s.g.Name, lab.HostB}, args...)...)
	m.cmd.Stdout, m.cmd.Stderr = &m.events, &m.stderr
	s.check(m.cmd.Start())
	go func() {
		m.cmd.Wait()
		close(m.exited)
	}()
	return m
}

func (m *migration) running() bool {
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// until waits for a phase of the migration.
func (m *migration) until(phase string) {
	m.s.t.Helper()
	m.s.wait("phase "+phase, func() bool {
		running := m.running()
		for _, p := range m.events.Progress() {
			if p.Phase == phase {
				return true
			}
		}
		if !running {
			m.s.t.Fatalf("phase %s: the migration ended before: %+v\n%s", phase, m.events.Result(), &m.stderr)
		}
		return false
	})
}

// wait waits for the end.
func (m *migration) wait() *control.Result {
	m.s.t.Helper()
	m.s.wait("the end of sluice migrate", func() bool { return !m.running() })
	r := m.events.Result()
	if r == nil {
		m.s.t.Fatalf("sluice migrate ended (%v) without a result: %s", m.cmd.ProcessState, &m.stderr)
	}
	return r
}

// want waits for the end, which must be that outcome.
func (m *migration) want(outcome string) *control.Result {
	m.s.t.Helper()
	r := m.wait()
	if r.Outcome != outcome {
		m.s.t.Fatalf("the outcome is %s, want %s: %s", r.Outcome, outcome, r.Message)
	}
	return r
}

// virsh moves the guest with stock virsh, which must succeed.
func (s *stage) virsh(uri string, args ...string) {
	s.t.Helper()
	_, err := s.A.Virsh(s.ctx, append([]string{"migrate", "--live", s.g.Name, uri}, args...)...)
	s.check(err)
}

// virshFails has stock virsh fail to move the guest, in these words.
func (s *stage) virshFails(uri, words string, args ...string) {
	s.t.Helper()
	_, err := s.A.Virsh(s.ctx, append([]string{"migrate", "--live", s.g.Name, uri}, args...)...)
	if err == nil || !strings.Contains(err.Error(), words) {
		s.t.Errorf("virsh to %s says\n  %v\nwhich lacks %q", uri, err, words)
	}
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.A))
}

// ended waits until a daemon has no session, and returns those of the guest that have ended.
func (s *stage) ended(d *site.Daemon) (all []control.SessionStatus) {
	s.t.Helper()
	s.wait("the end of the session on "+d.Host.Name, func() bool {
		st, err := d.Status(s.ctx)
		s.check(err)
		all = st.Ended
		return len(st.Sessions) == 0 && len(all) > 0
	})
	return all
}

// carried checks that both sluices have carried the guest, as sessions of that kind, and say that
// its memory was protected so.
func (s *stage) carried(kind, memory string) {
	s.t.Helper()
	for _, d := range s.site.Daemons() {
		found := 0
		for _, e := range s.ended(d) {
			if e.Kind != kind {
				continue
			}
			found++
			if e.Memory != memory || e.Cause != "" {
				s.t.Errorf("%s shows the session as %+v", d.Host.Name, e)
			}
		}
		if found == 0 {
			s.t.Errorf("%s shows no session %s", d.Host.Name, kind)
		}
	}
}

// intercept turns interception on.
func (s *stage) intercept() {
	s.t.Helper()
	for _, d := range s.site.Daemons() {
		if out, err := d.Command(s.ctx, "intercept", "up", "--config", site.ConfigFile).CombinedOutput(); err != nil {
			s.t.Fatalf("sluice intercept up on %s: %v: %s", d.Host.Name, err, out)
		}
		s.t.Cleanup(func() {
			if out, err := d.Command(context.Background(), "intercept", "down").CombinedOutput(); err != nil {
				s.t.Errorf("sluice intercept down on %s: %v: %s", d.Host.Name, err, out)
			}
		})
	}
}

// listenByTCP has libvirt of a host reached by plain TCP, where no daemon of it listens but at
// sockets of systemd's.
func (s *stage) listenByTCP(h *lab.Host) {
	s.t.Helper()
	l, err := h.Listen(s.ctx, "tcp", ":16509")
	s.check(err)
	var carried sync.WaitGroup
	s.t.Cleanup(func() {
		l.Close()
		carried.Wait()
	})
	carry := func(c net.Conn) {
		defer c.Close()
		libvirt, err := h.Dial(s.ctx, "unix", "/run/libvirt/libvirt-sock")
		if err != nil {
			s.t.Error(err)
			return
		}
		defer context.AfterFunc(s.ctx, func() { libvirt.Close() })()
		carried.Go(func() {
			io.Copy(libvirt, c)
			libvirt.Close()
		})
		io.Copy(c, libvirt)
	}
	carried.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			carried.Go(func() { carry(c) })
		}
	})
}

// secretly runs f, after which the guest must be on host-b alone, as it should be; nothing of its
// memory may be seen on the link meanwhile.
func (s *stage) secretly(f func()) {
	s.t.Helper()
	c, err := s.A.Capture(s.ctx)
	s.check(err)
	f()
	packets, err := c.Stop()
	s.check(err)
	if n := s.g.Seen(packets); n > 0 {
		s.t.Errorf("%d of %d pages of the guest's memory can be read on the link", n, lab.SeenPages)
	}
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	s.check(s.CompareDisks(s.ctx, s.g))
	s.check(s.A.WaitClean(s.ctx))
	s.check(s.B.WaitClean(s.ctx, s.g.Name))
}
