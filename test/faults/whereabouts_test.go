package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

// Where a guest is in the end.
const (
	moved = "moved" // it runs on host-b alone
	stays = "stays" // it runs on host-a alone
	ended = "ended" // it runs nowhere, and nothing is left of it
	held  = "held"  // it is paused on host-a, and is not on host-b
	split = "split" // a part of it is on each host, as post-copy leaves it
	torn  = "torn"  // post-copy has lost it: what is left can't go on (docs/failures.md)
	twice = "moved, and a paused copy is left on host-a"
	open  = "undecided" // none of these
)

// rest waits until the guest is where it stays, and says where.
func (s *stage) rest(ctx context.Context) string {
	where, since := open, time.Now()
	settled := func() time.Duration {
		switch where {
		case moved, stays, ended:
			return time.Second
		case open: // nothing is decided
			return time.Hour
		}
		return 25 * time.Second // longer than what sluice still does about it
	}
	s.wait("the guest is where it stays", 100*time.Second, func() (bool, error) {
		now := s.where(ctx)
		if now != where {
			where, since = now, time.Now()
		}
		if s.overdue() && where != open {
			return true, nil
		}
		return time.Since(since) > settled(), nil
	})
	return where
}

func (s *stage) where(ctx context.Context) string {
	places, err := s.WhereRuns(ctx, s.g.Name)
	if err != nil {
		return open
	}
	a, b := places[0], places[1]
	gone := func(p lab.Place) bool { return len(p.QEMU) == 0 && (p.State == "" || p.State == "shut off") }
	if s.nameTaken {
		b.State = "" // of the other guest of the name
	}
	switch {
	case gone(a) && gone(b):
		return ended
	case gone(a) && b.State == "running":
		if reason, _ := s.B.Virsh(ctx, "domstate", "--reason", s.g.Name); strings.Contains(reason, "post-copy") {
			return torn // its QEMU waits for a page that nobody has
		}
		return moved
	case gone(b) && a.State == "running":
		return stays
	case gone(b) && a.State == "paused":
		reason, _ := s.A.Virsh(ctx, "domstate", "--reason", s.g.Name)
		if strings.Contains(reason, "post-copy") {
			return torn
		}
		return held
	case len(a.QEMU) > 0 && len(b.QEMU) > 0 && s.c.kind == "postcopy":
		return split
	case a.State == "paused" && b.State == "running" && s.c.way.alone: // its client, or libvirt, has not ended it
		return twice
	case gone(a) && s.c.kind == "postcopy": // its source is lost
		return torn
	}
	return open
}

func (s *stage) places(ctx context.Context) string {
	places, err := s.WhereRuns(ctx, s.g.Name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v and %v", places[0], places[1])
}

// operator does what a person is told to do about a guest that is held, or split by post-copy, and
// says where it is then.
func (s *stage) operator(ctx context.Context, r *result, where string, ran bool) string {
	run := func(args ...string) string {
		out, err := s.A.Command(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			r.fault("%s: %v: %s", strings.Join(args, " "), err, out)
		}
		return s.rest(ctx)
	}
	leaving, hits := s.status(s.site.A).Leaving, s.c.fault.hits
	switch {
	case where == split:
		if !slices.ContainsFunc(s.site.Daemons(), func(d *site.Daemon) bool { return len(s.status(d).Ended) > 0 }) && s.c.fault.hits == "" {
			r.fault("post-copy was lost, and nothing has failed")
		}
		s.SlowLink(0)
		if !s.answers(ctx, s.B) {
			r.Outcome += ", and QEMU on host-b waits for a page and answers nobody (software emulation)"
			return torn
		}
		r.Outcome += ", resumed"
		return run(append([]string{s.programs.Command, "migrate", "--postcopy-resume", s.g.Name, lab.HostB}, s.persistence()...)...)
	case len(leaving) > 0:
		if !s.c.mayHold() {
			r.fault("nobody could tell what became of the guest: %+v", leaving)
		}
		r.Outcome += ", resolved"
		to := "--here"
		if ran {
			to = "--there"
		}
		where := run(s.programs.Command, "resolve", s.g.Name, to)
		if err := s.wait("the caller's end after the operator's word", busy, func() (bool, error) { return !s.caller.running(), nil }); err != nil {
			r.fault("%v", err)
		}
		return where
	case where == twice && (hits == "caller" || hits == "libvirtd-a" || hits == "link"):
		return run("virsh", "-q", "destroy", s.g.Name)
	case s.c.way.alone && s.c.moment.finish: // libvirt's own end of a migration that it can't finish
		r.Outcome += ", resumed"
		if ran {
			return run("virsh", "-q", "destroy", s.g.Name)
		}
		return run("virsh", "-q", "resume", s.g.Name)
	}
	r.fault("the guest is paused on host-a, and nobody says why")
	return open
}

// answers says whether the guest's QEMU on a host answers questions. Software emulation keeps QEMU's
// big lock while it waits for a page of post-copy's that an interrupt needs.
func (s *stage) answers(ctx context.Context, h *lab.Host) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := h.Virsh(ctx, "qemu-monitor-command", s.g.Name, "--hmp", "info status")
	return err == nil
}
