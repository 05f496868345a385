package evacuate

import (
	"fmt"
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
	there := 0
	for _, host := range at {
		if host == "host-b" {
			there++
		}
	}
	if there == 0 || there > room {
		t.Errorf("%d guests are on host-b, which has room for %d", there, room)
	}
	h.rest()
}
