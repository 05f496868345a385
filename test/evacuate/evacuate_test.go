package evacuate

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/proxy/control"
)

// slow is a link, in bytes per second, on which two guests at once take some ten seconds. One that
// changes its memory would not converge on it.
const (
	slow  = 4 << 20
	clean = -1 // MiB that a guest changes
)

// A host is emptied; two empty themselves towards each other; and, with -all, one is emptied in two
// goes, with Ctrl-C in between.
func TestEvacuate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(lab.GuestSpec{DirtyMiB: clean})

	out, err := h.Site.A.Command(h.ctx, "evacuate", "--dry-run", "--guests", "g[1-4]").Output()
	if text := string(out); err != nil || !strings.Contains(text, "4 guests can leave host-a, 2 at once") || strings.Contains(text, "g5") {
		t.Errorf("--dry-run: %v\n%s", err, text)
	}
	for guest, host := range h.each() {
		if host != "host-a" {
			t.Errorf("a dry run has moved %s to %s", guest, host)
		}
	}

	e := h.empties(h.Site.A, 0, nil)
	if got := outcomes(e.report); got != "[moved:8]" || len(e.plan.Leaving) != 8 || e.plan.Total <= 0 {
		t.Errorf("all go: %s; the plan was %+v", got, e.plan)
	}
	at := h.each()
	h.told(e, at)
	h.rest()

	var both errgroup.Group
	var from [2]*emptied
	for i, d := range []*site.Daemon{h.Site.B, h.Site.C} {
		to := []*site.Daemon{h.Site.C, h.Site.B}[i]
		both.Go(func() (err error) {
			from[i], err = h.evacuate(d, nil, "--to", to.Host.Name)
			return err
		})
	}
	h.check(both.Wait())
	for _, e := range from {
		h.ends(e, 0)
		if e.report.Count(control.Moved) != len(e.report.Guests) {
			t.Errorf("towards each other: %+v", e.report)
		}
	}
	h.rest()
	if !*all {
		return
	}

	// Whatever is on host-b by now. A paused guest whose migration is ended at its last moment does not
	// go again (QEMU: "paused due to previous migration"), so that is not when to interrupt.
	h.check(h.SlowLink(slow))
	interrupted := false
	e = h.empties(h.Site.B, 3, func(under map[string]evacuate.Event, done []evacuate.Event, c *lab.Cmd) {
		if !interrupted && len(done) > 0 && copying(under, len(under)) && len(under) > 0 {
			interrupted = true
			c.Process.Signal(syscall.SIGINT)
		}
	}, "--to", "host-a")
	h.check(h.SlowLink(0))
	if moved, cancelled := e.report.Count(control.Moved), e.report.Count(control.Cancelled); moved == 0 || cancelled == 0 || moved+cancelled != len(e.report.Guests) {
		t.Errorf("Ctrl-C: %s", outcomes(e.report))
	}
	h.told(e, h.each())
	h.rest()
	e = h.empties(h.Site.B, 0, nil, "--to", "host-a,host-c")
	at = h.each()
	h.told(e, at)
	for guest, host := range at {
		if host == "host-b" {
			t.Errorf("guest %s is still there", guest)
		}
	}
	h.rest()
	if out, err := h.Site.B.Command(h.ctx, "evacuate", "--yes").Output(); err != nil || !strings.Contains(string(out), "host-b has no guests to move") {
		t.Errorf("an empty host: %v: %s", err, out)
	}
}

// A destination dies in the midst of it: its guests go elsewhere. The link goes down: nothing is lost,
// and the same command again goes on.
func TestFaults(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	h := newHouse(t)
	h.start(lab.GuestSpec{DirtyMiB: clean})
	h.check(h.SlowLink(slow))
	killed := ""
	e := h.empties(h.Site.A, 0, func(under map[string]evacuate.Event, _ []evacuate.Event, _ *lab.Cmd) {
		there := make(map[string]evacuate.Event)
		for guest, u := range under {
			if u.To == "host-c" {
				there[guest] = u
			}
		}
		if killed == "" && copying(there, 1) {
			for killed = range there {
			}
			if err := h.Site.C.Kill(); err != nil {
				t.Error(err)
			}
			if err := h.SlowLink(0); err != nil {
				t.Error(err)
			}
		}
	}, "--to", "host-b,host-c")
	if got := outcomes(e.report); killed == "" || !strings.HasPrefix(got, "[moved:8 ") {
		t.Errorf("a destination dies with %q: %s", killed, got)
	}
	lost := 0
	for _, l := range e.lines {
		if l.Lost != "" {
			lost++
		}
		if lost > 0 && l.Progress != nil && l.To == "host-c" {
			t.Errorf("%s goes to a host that is dead", l.Guest)
		}
	}
	if lost != 1 {
		t.Errorf("host-c was told to be dead %d times", lost)
	}
	h.told(e, h.each())
	h.check(h.Site.C.Start(h.ctx))
	h.rest()

	h.check(h.SlowLink(slow))
	cut := false
	e = h.empties(h.Site.B, 1, func(under map[string]evacuate.Event, _ []evacuate.Event, _ *lab.Cmd) {
		if !cut && copying(under, 2) {
			cut = true
			if err := h.CutLink(); err != nil {
				t.Error(err)
			}
		}
	}, "--to", "host-a")
	if got := outcomes(e.report); !cut || e.report.Count(control.Failed) != 2 || e.report.Count(evacuate.Stayed) == 0 {
		t.Errorf("the link goes down: %s", got)
	}
	h.told(e, h.each())
	h.check(h.RestoreLink())
	h.check(h.SlowLink(0))
	h.rest()
	e = h.empties(h.Site.B, 0, nil)
	if e.report.Count(control.Moved) != len(e.report.Guests) {
		t.Errorf("once the link is back: %s", outcomes(e.report))
	}
	h.told(e, h.each())
	h.rest()
}

// The daemon is killed in the midst of it, and started again: what was under way has stayed, and goes
// elsewhere. An upgrade, in which another follows it, is not noticed at all.
func TestRestart(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	h := newHouse(t)
	h.start(lab.GuestSpec{DirtyMiB: clean})
	// once does something when two guests are being copied.
	once := func(do func() error) look {
		done := false
		return func(under map[string]evacuate.Event, _ []evacuate.Event, _ *lab.Cmd) {
			if !done && copying(under, 2) {
				done = true
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	h.check(h.SlowLink(slow))
	e := h.empties(h.Site.A, 0, once(func() error {
		if err := h.Site.A.Kill(); err != nil {
			return err
		}
		if err := h.SlowLink(0); err != nil {
			return err
		}
		return h.Site.A.Start(h.ctx)
	}), "--to", "host-b,host-c")
	if got := outcomes(e.report); !strings.HasPrefix(got, "[moved:8 try failed at ") {
		t.Errorf("the daemon is killed: %s\n%s", got, e.stderr)
	}
	for _, l := range e.lines {
		if l.Lost != "" {
			t.Errorf("%s was given up: %s", l.Host, l.Lost)
		}
	}
	h.told(e, h.each())
	h.rest()

	h.check(h.SlowLink(slow))
	var earlier <-chan struct{}
	e = h.empties(h.Site.B, 0, once(func() (err error) {
		earlier, err = h.Site.B.Follow(h.ctx)
		return errors.Join(err, h.SlowLink(0))
	}), "--to", "host-a")
	if got := outcomes(e.report); earlier == nil || e.report.Count(control.Moved) != len(e.report.Guests) || strings.Contains(got, "try") {
		t.Errorf("the daemon is followed: %s\n%s", got, e.stderr)
	}
	<-earlier
	h.told(e, h.each())
	h.rest()

	// It is killed while a destination takes a guest over: that has moved, or has stayed and goes
	// elsewhere, or is unknown. One that is paused and has stayed can't go again (see TestEvacuate).
	killed := false
	e, err := h.evacuate(h.Site.C, func(under map[string]evacuate.Event, _ []evacuate.Event, _ *lab.Cmd) {
		for _, u := range under {
			if !killed && u.Progress.Phase == control.PhaseFinish {
				killed = true
				if err := errors.Join(h.Site.C.Kill(), h.Site.C.Start(h.ctx)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	h.check(err)
	t.Logf("killed in the last phase: took %v: %s", e.report.Elapsed, outcomes(e.report))
	if !killed || e.report.Count(control.Moved, control.Failed, control.Unknown) != len(e.report.Guests) || len(e.report.Guests)-e.report.Count(control.Moved) > 2 {
		t.Errorf("killed in the last phase: %+v\n%s", e.report, e.stderr)
	}
	at := h.each()
	for _, g := range e.report.Guests {
		switch last := g.Tries[len(g.Tries)-1]; {
		case g.Outcome == control.Moved && at[g.Guest] != last.To, g.Outcome == control.Failed && at[g.Guest] != "host-c":
			t.Errorf("%s is on %s: %+v", g.Guest, at[g.Guest], g)
		}
	}
	h.rest()
}

// A destination has room for two guests' disks: the others go elsewhere, whether the plan knows that
// or the migration fails there.
func TestFull(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	h := newHouse(t)
	const room, disk = 2, 8
	if out, err := h.Lab.B.Command(h.ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0755", room*disk+disk/2), "tmpfs", "/var/lib/libvirt/images").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.start(lab.GuestSpec{DisksMiB: []int{disk}, DirtyMiB: 1})
	e := h.empties(h.Site.A, 0, nil, "--to", "host-b,host-c", "--copy-storage-all", "--create-disks")
	got := outcomes(e.report)
	if !strings.HasPrefix(got, "[moved:8 ") || !strings.Contains(got, "try failed at host-b") {
		t.Errorf("a destination is full: %s", got)
	}
	at := h.each()
	h.told(e, at)
	if there := on(at, "host-b"); there == 0 || there > room {
		t.Errorf("%d guests are on host-b, which has room for %d", there, room)
	}
	h.rest()
}

// The destinations have memory for two guests and for six: so many go there, and no try fails.
func TestMemory(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	h := newHouse(t)
	h.start(lab.GuestSpec{DirtyMiB: clean})
	room := map[*lab.Host]int{h.Lab.B: 2, h.Lab.C: 6}
	for host, n := range room {
		// The hosts share the machine's memory. These are told that they have less, as a container is by
		// lxcfs, and that most of what is cached is shared memory of programs.
		const guest, cached = 24 << 10, 1 << 20 // KiB
		free := guest*n + guest/2
		h.check(os.WriteFile(host.Path("/run/meminfo"), fmt.Appendf(nil, "MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB\nBuffers: 0 kB\nCached: %d kB\nShmem: %d kB\n",
			2*cached, guest*n, free, cached, cached-guest/2), 0o644))
		if out, err := host.Command(h.ctx, "mount", "--bind", "/run/meminfo", "/proc/meminfo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	out, err := h.Site.A.Command(h.ctx, "evacuate", "--dry-run", "--to", "host-b").Output()
	if text := strings.Join(strings.Fields(string(out)), " "); err == nil || !strings.Contains(text, "2 guests can leave host-a") || strings.Count(text, "of memory left once the other guests are there") != 6 {
		t.Errorf("only to a host that is almost full: %v\n%s", err, out)
	}
	e := h.empties(h.Site.A, 0, nil)
	if got := outcomes(e.report); got != "[moved:8]" {
		t.Errorf("hosts that have just enough memory: %s", got)
	}
	at := h.each()
	h.told(e, at)
	for host, n := range room {
		if is := on(at, host.Name); is != n {
			t.Errorf("%d guests are on %s, which has memory for %d", is, host.Name, n)
		}
	}
	h.rest()
}

// A destination has huge pages for two guests: the others stay with that reason, and go by the same
// command again, once those that have moved have left theirs.
func TestHugePages(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	const room, guest = 2, 24 // MiB
	restore, err := lab.ReserveHugePages((3 + room) * guest / 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restore(); err != nil {
			t.Error(err)
		}
	})
	h := newHouse(t)
	for free := (room + 1) * guest; free >= (room+1)*guest; { // the machine may have more
		g, err := h.Lab.A.StartGuest(h.ctx, lab.GuestSpec{Name: fmt.Sprintf("g%d", len(h.guests)+1), MemoryMiB: guest, HugePages: true, DirtyMiB: clean, Paused: true})
		h.check(err)
		h.guests = append(h.guests, g)
		free = h.freeHugePages(h.Lab.B)
	}
	e := h.empties(h.Site.A, 1, nil, "--to", "host-b")
	h.told(e, h.each())
	if e.report.Count(control.Moved) != room || len(e.plan.Leaving) != room {
		t.Errorf("there are huge pages for %d: %+v", room, e.report)
	}
	for _, s := range e.plan.Staying {
		if len(s.Reasons) != 1 || !strings.Contains(s.Reasons[0].Text, "huge pages") {
			t.Errorf("%s stays for %+v", s.Guest, s.Reasons)
		}
	}
	h.rest()
	e, err = h.evacuate(h.Site.A, nil, "--to", "host-b")
	h.check(err)
	if e.report.Count(control.Moved) == 0 {
		t.Errorf("once more: %+v", e.report)
	}
	h.told(e, h.each())
	h.rest()
}

// Guests that change their memory, one of them faster than the link carries it: that one goes first,
// and every one goes, by what is allowed to be done.
func TestBusy(t *testing.T) {
	onlyWithAll(t)
	t.Parallel()
	h := newHouse(t)
	const link = 32 // MiB per second
	for _, spec := range lab.Kinds(link) {
		switch spec.Name {
		case "idle", "below", "above", "hot":
			spec.Persistent = false
			g, err := h.Lab.A.StartGuest(h.ctx, spec)
			h.check(err)
			h.guests = append(h.guests, g)
		}
	}
	h.check(h.SlowLink(link << 20))
	e := h.busy(h.Site.A, "--to", "host-b", "--auto", "--allow", "slow,postcopy")
	if first := e.plan.Leaving[0]; first.Guest != "above" || first.Risk != evacuate.RiskMeans {
		t.Errorf("the first is %+v", first)
	}
	h.busy(h.Site.B, "--to", "host-a", "--postcopy")
}

// busy empties a host of such guests.
func (h *house) busy(from *site.Daemon, args ...string) *emptied {
	h.t.Helper()
	e := h.empties(from, 0, nil, args...)
	if got := outcomes(e.report); got != "[moved:4]" {
		h.t.Errorf("busy guests: %s", got)
	}
	for _, l := range e.plan.Leaving {
		h.t.Logf("%s: risk %q, planned for %v: %+v", l.Guest, l.Risk, l.Total, l.Goal)
	}
	for _, g := range e.report.Guests {
		h.t.Logf("%s took %v: %s", g.Guest, g.Tries[0].Elapsed, g.Message)
	}
	h.told(e, h.each())
	h.rest()
	return e
}
