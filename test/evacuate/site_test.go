package evacuate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// house is three hosts with a sluice each, and the guests of one test.
type house struct {
	*lab.Lab
	*site.Site
	t      *testing.T
	ctx    context.Context
	guests []*lab.Guest
}

// patience is what the limits of the daemons are: longer than a loaded machine takes to answer, and
// short enough for tests that wait for them.
const patience = `limits.handshake_timeout = "20s"
limits.idle_timeout = "20s"
`

func newHouse(t *testing.T) *house {
	t.Helper()
	lab.Require(t)
	p, err := sluice.Programs()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	l, err := lab.Up(ctx, lab.Options{Third: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	s, err := site.Start(ctx, l, site.Options{Binary: p.Command, Daemon: p.Daemon, Config: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		for _, d := range s.Daemons() {
			if log := stand.Misbehaved(d.Log()); log != "" {
				t.Errorf("sluice on %s misbehaved:\n%s", d.Host.Name, log)
			}
			if t.Failed() {
				t.Logf("log of %s:\n%s", d.Host.Name, d.Log())
			}
		}
	})
	return &house{Lab: l, Site: s, t: t, ctx: ctx}
}

func (h *house) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// start starts eight guests on host-a. Three of them run, the others are paused, which keeps the
// processor free for what is tried.
func (h *house) start(spec lab.GuestSpec) {
	h.t.Helper()
	for i := range 8 {
		spec.Name, spec.MemoryMiB, spec.PassesPerSecond, spec.Paused = fmt.Sprintf("g%d", i+1), 24, 10, i >= 3
		g, err := h.Lab.A.StartGuest(h.ctx, spec)
		h.check(err)
		h.guests = append(h.guests, g)
	}
}

// each checks that every guest runs on exactly one host, with its memory intact, and says on which.
func (h *house) each() map[string]string {
	h.t.Helper()
	at := make(map[string]string)
	for _, g := range h.guests {
		places, err := h.WhereRuns(h.ctx, g.Name)
		h.check(err)
		i := slices.IndexFunc(places, func(p lab.Place) bool { return len(p.QEMU) > 0 })
		if i < 0 {
			h.t.Fatalf("guest %s is lost: %v", g.Name, places)
		}
		h.check(h.CheckOnlyOn(h.ctx, g, places[i].Host))
		at[g.Name] = places[i].Host.Name
	}
	return at
}

// on is how many guests are on a host.
func on(at map[string]string, host string) (n int) {
	for _, is := range at {
		if is == host {
			n++
		}
	}
	return n
}

// freeHugePages is how many MiB of huge pages libvirt on a host says are free.
func (h *house) freeHugePages(on *lab.Host) int {
	h.t.Helper()
	out, err := on.Virsh(h.ctx, "freepages", "--cellno", "0", "--pagesize", "2048")
	h.check(err)
	_, n, _ := strings.Cut(out, ":")
	pages, err := strconv.Atoi(strings.TrimSpace(n))
	h.check(err)
	return 2 * pages
}

// rest waits until no daemon has a session, and nothing is left of migrations.
func (h *house) rest() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, 2*time.Minute)
	defer cancel()
	at := h.each()
	for _, d := range h.Daemons() {
		var here []string
		for guest, host := range at {
			if host == d.Host.Name {
				here = append(here, guest)
			}
		}
		h.check(d.Host.WaitClean(ctx, here...))
		again := time.NewTicker(100 * time.Millisecond)
		for {
			st, err := d.Status(ctx)
			h.check(err)
			if len(st.Sessions) == 0 && len(st.Leaving) == 0 {
				break
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				h.t.Fatalf("%s has sessions still: %+v, %+v", d.Host.Name, st.Sessions, st.Leaving)
			}
		}
		again.Stop()
	}
}

// line is one of those that sluice evacuate --json prints.
type line struct {
	Plan *evacuate.Plan `json:"plan"`
	evacuate.Event
	Report *evacuate.Report `json:"report"`
}

// emptied is what an evacuation said.
type emptied struct {
	plan   *evacuate.Plan
	report *evacuate.Report
	status int
	lines  []line
	stderr string
}

// look is how far the guests under way are, by name, whenever that changes.
type look func(under map[string]evacuate.Event, done []evacuate.Event, c *lab.Cmd)

// evacuate empties a host, and has look told how that gets on. It may be called beside the test's
// goroutine.
func (h *house) evacuate(from *site.Daemon, look look, args ...string) (*emptied, error) {
	c := from.Command(h.ctx, append([]string{"evacuate", "--yes", "--json"}, args...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	e := new(emptied)
	under, done := make(map[string]evacuate.Event), []evacuate.Event(nil)
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, control.MaxLine)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%q: %w", scanner.Text(), err)
		}
		e.lines = append(e.lines, l)
		switch {
		case l.Plan != nil:
			e.plan = l.Plan
		case l.Report != nil:
			e.report = l.Report
		case l.Result != nil:
			delete(under, l.Guest)
			done = append(done, l.Event)
		case l.Progress != nil:
			under[l.Guest] = l.Event
		}
		if look != nil {
			look(under, done, c)
		}
	}
	err = errors.Join(scanner.Err(), c.Wait())
	e.stderr, e.status = stderr.String(), c.ProcessState.ExitCode()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || e.plan == nil || e.report == nil {
		return nil, fmt.Errorf("sluice evacuate on %s: %v, status %d: %s", from.Host.Name, err, e.status, e.stderr)
	}
	return e, nil
}

// empties is evacuate, with the exit status that it must have.
func (h *house) empties(from *site.Daemon, status int, look look, args ...string) *emptied {
	h.t.Helper()
	e, err := h.evacuate(from, look, args...)
	h.check(err)
	h.ends(e, status)
	h.t.Logf("%s: planned for %v, took %v: %s", from.Host.Name, e.plan.Total, e.report.Elapsed, outcomes(e.report))
	return e
}

func (h *house) ends(e *emptied, status int) {
	h.t.Helper()
	if e.status != status {
		h.t.Fatalf("status %d, want %d; it planned %+v, and reports %+v\n%s", e.status, status, e.plan, e.report, e.stderr)
	}
}

// told checks that guests are where the report says that they have moved.
func (h *house) told(e *emptied, at map[string]string) {
	h.t.Helper()
	for _, g := range e.report.Guests {
		want := e.report.Source
		if g.Outcome == control.Moved {
			want = g.Tries[len(g.Tries)-1].To
		}
		if at[g.Guest] != want {
			h.t.Errorf("guest %s is on %s, and is told to be on %s: %+v", g.Guest, at[g.Guest], want, g)
		}
	}
}

// outcomes are how many guests have each outcome, and how many tries failed.
func outcomes(r *evacuate.Report) string {
	n := make(map[string]int)
	for _, g := range r.Guests {
		n[g.Outcome]++
		for _, try := range g.Tries {
			if try.Outcome != control.Moved {
				n["try "+try.Outcome+" at "+try.To]++
			}
		}
	}
	return strings.TrimPrefix(fmt.Sprint(n), "map")
}

// copying says whether all guests under way, so many, have a part of their memory to go.
func copying(under map[string]evacuate.Event, n int) bool {
	for _, u := range under {
		if u.Progress.Phase != control.PhaseMemory || u.Progress.Percent < 5 || u.Progress.Percent > 60 {
			return false
		}
	}
	return len(under) == n
}
