package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// history is what `sluice history` has of a guest, the newest first.
func (d *daemon) history(g *lab.Guest) []control.SessionRecord {
	d.s.t.Helper()
	out, errs, status := d.s.run(d.host, d.s.command, "history", g.Name, "--json")
	var h control.History
	if err := json.Unmarshal([]byte(out), &h); status != 0 || err != nil {
		d.s.t.Fatalf("sluice history on %s: status %d, %v: %s%s", d.host.Name, status, err, out, errs)
	}
	return h.Sessions
}

// report is what `sluice report` has of a session.
func (d *daemon) report(id string) *control.SessionRecord {
	d.s.t.Helper()
	out, errs, status := d.s.run(d.host, d.s.command, "report", id, "--json")
	r := new(control.SessionRecord)
	if err := json.Unmarshal([]byte(out), r); status != 0 || err != nil {
		d.s.t.Fatalf("sluice report on %s: status %d, %v: %s%s", d.host.Name, status, err, out, errs)
	}
	return r
}

// became waits until history has it that a guest's last session ended so.
func (d *daemon) became(g *lab.Guest, outcome string) *control.SessionRecord {
	d.s.t.Helper()
	var all []control.SessionRecord
	d.s.wait(fmt.Sprintf("%s having it that guest %s became %s", d.host.Name, g.Name, outcome), 20*time.Second, func() bool {
		all = d.history(g)
		return len(all) > 0 && all[0].Outcome == outcome
	})
	return d.report(all[0].ID)
}

// went checks that a report has the phases in their order, and samples.
func (s *site) went(r *control.SessionRecord, phases ...string) {
	s.t.Helper()
	at := -1
	for _, phase := range phases {
		i := slices.IndexFunc(r.Phases, func(p control.PhaseStart) bool { return p.Phase == phase })
		if i <= at {
			s.t.Errorf("%s on %s: the phase %s is not where it belongs in %+v", r.ID, r.Host, phase, r.Phases)
		}
		at = i
	}
	if r.Samples == nil || len(r.Samples.At) == 0 {
		s.t.Errorf("%s on %s has no samples", r.ID, r.Host)
	}
}

// as runs sluice on a host as a user.
func (s *site) as(uid int, h *lab.Host, args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	id := fmt.Sprint(uid)
	return s.run(h, "setpriv", append([]string{"--reuid", id, "--regid", id, "--clear-groups", "--", s.command}, args...)...)
}

// History says who has moved a guest, how, and what came of it: of a user's sluice migrate, and of a
// stock client's migration, at both hosts, after a restart.
func TestHistory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{top: fmt.Sprintf("users = [\"%d\"]\n", ordinary)})
	g := s.guest(lab.GuestSpec{})
	if out, errs, status := s.as(ordinary, s.A, "migrate", g.Name, "host-b", "--bandwidth", "400"); status != 0 {
		t.Fatalf("sluice migrate: status %d: %s%s", status, out, errs)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	out, in := a.became(g, control.Moved), b.became(g, control.Moved)
	s.went(out, control.PhaseConnect, control.PhaseBegin, control.PhasePrepare, control.PhaseMemory, control.PhaseFinish, control.PhaseConfirm, control.PhaseDone)
	s.went(in, control.PhaseConnect, control.PhasePrepare, control.PhaseMemory, control.PhaseFinish, control.PhaseDone)
	if who := out.Asked; who == nil || who.UID == nil || *who.UID != ordinary || who.User != "daemon" || who.PID == 0 {
		t.Errorf("on host-a it was asked for by %+v", who)
	}
	if !slices.Contains(out.Options, "--bandwidth 400") || len(out.Notes) == 0 || out.Notes[0].Kind != control.NoteLimit {
		t.Errorf("options %q, notes %+v", out.Options, out.Notes)
	}
	if who := in.Asked; who == nil || who.UID != nil || !strings.Contains(who.Certificate, "DNS:host-a") {
		t.Errorf("on host-b it was asked for by %+v", who)
	}
	for _, r := range []*control.SessionRecord{out, in} {
		if r.Downtime <= 0 || r.Downtime > r.Ended.Sub(r.Started) || r.Suite == "" || r.Sent+r.Received < leastCarried(g) || len(r.Channels) == 0 {
			t.Errorf("%s has %+v", r.Host, r)
		}
	}
	a.logged(`"audit":"migration"`, fmt.Sprintf(`"uid":%d`, ordinary), `"outcome":"moved"`)
	b.logged(`"audit":"migration"`, `"certificate":"DNS:host-a`, `"outcome":"moved"`)

	b.virshMigrate(a, g, "--p2p")
	back, came := b.became(g, control.Moved), a.became(g, control.Moved)
	if who := back.Asked; who == nil || who.UID == nil || *who.UID != 0 || who.User != "root" || !slices.Contains(back.Options, "--p2p") {
		t.Errorf("on host-b virsh's was asked for by %+v, with %q", who, back.Options)
	}
	if who := came.Asked; who == nil || !strings.Contains(who.Certificate, "DNS:host-b") || came.Downtime <= 0 {
		t.Errorf("on host-a virsh's was asked for by %+v; downtime %v", who, came.Downtime)
	}

	b.signal(syscall.SIGTERM)
	b.waitExit(time.Minute)
	b.restarted()
	if all := b.history(g); len(all) != 2 || all[0].ID != back.ID || all[1].ID != in.ID {
		t.Errorf("after a restart: %+v", all)
	}
	if ended := b.status().Ended; len(ended) < 2 || ended[0].ID != back.ID {
		t.Errorf("status after a restart: %+v", ended)
	}
	text, _, _ := s.run(s.B, s.command, "report", g.Name)
	// It is for those who may use sluice.
	for _, command := range []string{"history", "report"} {
		if _, errs, status := s.as(ordinary, s.A, command, g.Name); status != 0 {
			t.Errorf("sluice %s by one of `users`: status %d: %s", command, status, errs)
		}
		if out, errs, status := s.as(ordinary+1, s.A, command, g.Name); status != 2 || out != "" || !strings.Contains(errs, "may not use sluice") {
			t.Errorf("sluice %s by a stranger: status %d: %s%s", command, status, out, errs)
		}
	}
	says(t, "the report", text, "g from host-b to host-a: moved", "root (uid 0)", "Phases", "memory-0")
}
