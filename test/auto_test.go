package test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A guest that changes its memory faster than it gets through is moved by what is allowed, and by
// nothing else; one that does not is moved as ever. Each decision is in the result, with its reason.
func TestAuto(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 8*time.Minute)
	a, b := s.both(conf{top: `auto = {stock_clients = true, allow = ["pause"]}`, limits: unhurried})
	busy := func(name string) *lab.Guest {
		return s.guest(lab.GuestSpec{Name: name, DirtyMiB: 24, PassesPerSecond: 10})
	}
	idle, waits, switches, pauses, virshs := s.guest(lab.GuestSpec{Name: "idle"}), busy("waits"), busy("switches"), busy("pauses"), busy("virshs")
	a.migrate(idle.Name, "--deadline", "1m").refused("--auto")

	at := func(g *lab.Guest, rate string, args ...string) *migration {
		return a.migrate(g.Name, append([]string{"--auto", "--bandwidth", rate}, args...)...)
	}
	mIdle := at(idle, "16")
	mWaits := at(waits, "8", "--allow", "slow", "--deadline", "45s")
	mSwitches := at(switches, "16", "--allow", "postcopy")
	mPauses := at(pauses, "16", "--max-downtime", "200ms")
	v := a.virshStart(virshs, "--p2p", "--bandwidth", "16")

	none := []string{"no progress", "slows the guest down", "post-copy", "may be stopped"}
	decided(t, moved(mIdle, idle, a, b).Decisions, []string{"downtime limit 75ms at first"}, none...)

	r := moved(mPauses, pauses, a, b)
	decided(t, r.Decisions, []string{"downtime limit 50ms at first", "downtime limit raised from 50ms to 100ms", "no progress over the last", "so that the guest may be stopped for so long"}, "post-copy")
	if r.Downtime < 400*time.Millisecond {
		t.Errorf("of 24 MiB at 16 MiB/s the last took %v", r.Downtime)
	}
	v.moves()
	s.check(s.CheckOnlyOn(s.ctx, virshs, s.B))
	decided(t, a.became(virshs, control.Moved).Notes, []string{"downtime limit 75ms at first", "so that the guest may be stopped for so long"})
	decided(t, moved(mSwitches, switches, a, b).Decisions, []string{"QEMU is asked to switch to post-copy: "}, "may be stopped")

	r = mWaits.stays(control.Failed, 1, "the deadline of 45s has come", "are left", "the guest changes", "get through", "--allow")
	decided(t, r.Decisions, []string{"QEMU is to slow the guest down", "downtime limit 75ms at first", "aborted: "}, "QEMU is asked", "may be stopped")
	if ms := s.virshSays(s.A, "migrate-getmaxdowntime", waits.Name); ms != "300" {
		t.Errorf("a guest that stays keeps a downtime limit of %s ms", ms)
	}
	s.check(s.CheckOnlyOn(s.ctx, waits, s.A))
	s.nothingLeft()
}

// decided checks that there are decisions with these words, in this order, and none with others.
func decided(t *testing.T, made []control.Note, words []string, not ...string) {
	t.Helper()
	var all []string
	for _, n := range made {
		all = append(all, n.Text)
	}
	from := 0
	for _, w := range words {
		i := slices.IndexFunc(all[from:], func(text string) bool { return strings.Contains(text, w) })
		if i < 0 {
			t.Errorf("no decision %q, in its turn, in:\n%s", w, strings.Join(all, "\n"))
			return
		}
		from += i
	}
	for _, w := range not {
		if strings.Contains(strings.Join(all, "\n"), w) {
			t.Errorf("a decision %q in:\n%s", w, strings.Join(all, "\n"))
		}
	}
}
