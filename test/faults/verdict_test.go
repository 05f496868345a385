package faults

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// waits is the outcome of a caller that has no answer yet while it is told that nobody can tell.
const waits = "waits"

// judge waits until all has come to rest, and checks everything.
func (s *stage) judge(r *result) {
	ctx, cancel := context.WithTimeout(s.ctx, 4*time.Minute)
	defer cancel()
	s.inTime(r)
	s.crashes(ctx, r)
	where := s.rest(ctx)
	r.Outcome = where
	_, onB, err := s.watch.passes()
	if err != nil && s.c.mayDouble() && strings.Contains(err.Error(), "run on both") {
		r.Outcome = "ran on both (no sluice sees libvirt's calls)"
		s.endCopy(ctx, r)
		return
	}
	if err != nil {
		r.fault("%v", err)
		return
	}
	if s.nameTaken {
		if _, err := s.B.Virsh(ctx, "undefine", s.g.Name); err != nil {
			r.fault("%v", err)
		}
		s.nameTaken = false
	}
	s.agrees(r, where, onB > 0)
	s.causes(r)
	if where == held || where == split || where == twice {
		where = s.operator(ctx, r, where, onB > 0)
	}
	at := s.A
	switch where {
	case moved:
		at = s.B
	case stays:
		if onB > 0 {
			r.fault("the guest has run on host-b, and goes on on host-a")
		}
	case ended:
		if s.aborted() {
			r.Outcome = "ended by an assertion of QEMU 7.2's"
		} else if !s.c.mayEnd(onB > 0) {
			r.fault("the guest is gone")
		}
		at = nil
	case torn:
		if !s.c.mayTear() {
			r.fault("the guest can't go on")
		}
		s.endCopy(ctx, r)
		at = nil
	default:
		r.fault("the guest is %s", s.places(ctx))
		return
	}
	if at != nil {
		if err := s.CheckOnlyOn(ctx, s.g, at); err != nil {
			r.fault("%v", err)
		}
		job, err := at.Virsh(ctx, "domjobinfo", s.g.Name)
		if err != nil || !strings.Contains(job, "None") {
			r.fault("libvirt's job on %s: %s (%v)", at.Name, job, err)
		}
	}
	if at == s.B && s.c.kind == "storage" {
		if err := s.CompareDisks(ctx, s.g); err != nil {
			r.fault("%v", err)
		}
	}
	if s.c.makesDisks() && at != nil {
		s.disksFollow(r, at == s.B)
	}
	s.nothingLeft(ctx, r, at)
}

// disksFollow checks that the disks which sluice has made on host-b are there if the guest is, and
// gone if it never ran there; they may be kept where nobody could tell.
func (s *stage) disksFollow(r *result, there bool) {
	var noted []os.DirEntry
	is := true
	err := s.wait("the disks on host-b to be the guest's, or gone", time.Minute, func() (settled bool, err error) {
		noted, err = os.ReadDir(s.B.Path("/run/sluice/disks"))
		_, missing := os.Lstat(s.B.Path(s.g.DiskPath(0)))
		is = missing == nil
		return is == there && len(noted) == 0, err
	})
	if err != nil && !(s.c.mayHold() && is) {
		r.fault("the disks made on host-b: %v: there: %t, not settled: %d", err, is, len(noted))
	}
}

// crashes starts a libvirtd anew that has ended of itself, as systemd does, and tells of it. libvirt
// 9.0 crashes when a guest ends while its disks are copied, without sluice as well (the way "plain").
func (s *stage) crashes(ctx context.Context, r *result) {
	for _, h := range s.Hosts() {
		if _, err := h.LibvirtdPID(); err == nil {
			continue
		}
		if s.c.fault.name == "guest:ends-itself" && s.c.kind == "storage" {
			s.crashed = true
			s.note("libvirtd on %s has crashed, as it does without sluice", h.Name)
		} else {
			r.fault("libvirtd on %s has ended", h.Name)
		}
		if err := h.StartLibvirtd(ctx); err != nil {
			r.fault("%v", err)
		}
	}
}

// inTime checks when the caller knew.
func (s *stage) inTime(r *result) {
	due := s.c.due()
	begun := s.struck
	if !s.mended.IsZero() {
		begun = s.mended
	}
	err := s.wait("the caller's end", time.Until(begun.Add(due.within)), func() (bool, error) {
		return !s.caller.running() || s.c.mayHold() && s.overdue(), nil
	})
	if err == nil && s.caller.running() { // it waits for the operator's word
		r.Caller, r.Verdict = waits, time.Since(s.struck)
		return
	}
	if err != nil {
		r.fault("the caller does not know what became of the guest %v after the strike, %v after the end of the fault (%s: %v)",
			time.Since(s.struck).Round(time.Second), time.Since(begun).Round(time.Second), due.name, due.within)
		s.caller.cmd.Process.Kill()
		<-s.caller.done
		r.Caller = "waited in vain"
		return
	}
	r.Caller, r.Verdict = s.caller.outcome(), time.Since(s.struck)
	r.Words = strings.TrimSpace(s.caller.words())
	if r.Caller == killed {
		s.note("the caller ended by a signal: %v", s.caller.cmd.ProcessState)
	}
	// virsh's watch over the job drops the error of a guest that has gone (virshWatchJob).
	silent := r.Words == "" && !s.caller.sluice && s.c.fault.hits == "qemu-a"
	if r.Caller != control.Moved && r.Caller != killed && !silent && (r.Words == "" || s.caller.sluice && stand.Bare.MatchString(r.Words)) {
		r.fault("the caller says nothing but %q", r.Words)
	}
}

// agrees checks the caller's word against where the guest is.
func (s *stage) agrees(r *result, where string, ran bool) {
	hits := s.c.fault.hits
	// The caller's own libvirtd or sluice, or it itself, was struck: it can't know. One that speaks
	// with host-b's sluice itself can't when that way is struck.
	cut := s.crashed || strings.HasSuffix(hits, "-a") || hits == "caller" || s.c.way.remote && (hits == "sluice-b" || hits == "link")
	switch r.Caller {
	case control.Moved:
		if where != moved && !(where == ended && s.c.mayEnd(ran)) {
			r.fault("the caller says that the guest has moved, and it is %s", where)
		}
	case control.Failed, control.Cancelled:
		// A stock client has no word for what it can't know.
		// In virsh's own words, or in sluice's.
		late := strings.Contains(r.Words, "nobody can tell") // and somebody could, when the fault had ended
		paused := where == held && (strings.Contains(r.Words, "'paused' state on source") || late)
		if (where == moved && !(late && s.c.fault.lasts == forGood) || where == held && !paused) && (s.caller.sluice || !cut && !s.c.way.alone && s.c.kind != "postcopy") {
			r.fault("the caller says %q, and the guest is %s: %s", r.Caller, where, r.Words)
		}
	case control.Unknown:
		if !cut && !s.c.moment.finish && !s.c.mayHold() && s.c.kind != "postcopy" {
			r.fault("the caller says that the outcome is unknown, which this fault does not account for: %s", r.Words)
		}
	case killed:
		if hits != "caller" {
			r.fault("the caller was killed")
		}
	}
}

// causes checks what both daemons say of each session that has ended.
func (s *stage) causes(r *result) {
	told := make(map[string]string)
	for _, d := range s.site.Daemons() {
		for _, e := range s.status(d).Ended {
			if e.Cause != "" && stand.Bare.MatchString(e.Cause) {
				r.fault("%s says nothing but %q", d.Host.Name, e.Cause)
			}
			if e.Outcome == control.Failed && e.Cause == "" {
				r.fault("%s says no cause of %+v", d.Host.Name, e)
			}
			if e.Cause != "" && r.Cause == "" && e.Kind != "libvirt" && e.Kind != "client" {
				r.Cause = e.Cause
			}
			// The source of a broken post-copy also says what it heard of the guest afterwards.
			if before, ok := told[e.ID]; ok && !strings.HasPrefix(before, e.Cause) && !s.c.fault.apart {
				r.fault("host-a says\n  %s\nand host-b says\n  %s", before, e.Cause)
			}
			told[e.ID] = e.Cause
		}
	}
}

// aborted says whether QEMU at the source has aborted over a connection of --parallel that broke
// (util/yank.c in QEMU 7.2): about one time in ten, whoever carries the connection.
func (s *stage) aborted() bool {
	raw, _ := os.ReadFile(s.A.Path("/var/log/libvirt/qemu/g.log"))
	_, last, _ := strings.Cut(string(raw[min(s.qemuLogged, len(raw)):]), "initiating migration")
	return s.c.kind == "parallel" && strings.Contains(last, "yank_unregister_instance: Assertion")
}

// mayHold says whether nobody can tell whether the guest has run at the destination: it is gone
// there, and so is what libvirt there remembered of it.
func (c *testCase) mayHold() bool {
	late := c.fault.lasts == forGood && !c.moment.noB // Finish is asked for meanwhile
	return (c.moment.finish || late) && (c.fault.hits == "libvirtd-b" || c.fault.hits == "qemu-b")
}

// mayDouble says whether libvirt alone decides, and takes a lost answer to Finish for a failure.
func (c *testCase) mayDouble() bool {
	return c.way.alone && c.moment.finish && c.fault.hits != ""
}

// mayEnd says whether the fault itself may have ended the guest where it was.
func (c *testCase) mayEnd(ran bool) bool {
	if !c.fault.ends && c.fault.name != "memory:qemu-b" && c.fault.name != "descriptors:qemu-b" {
		return false
	}
	switch c.fault.hits {
	case "qemu-b":
		return ran || c.moment.over || c.kind == "postcopy"
	}
	return true
}

// mayTear says whether post-copy, of which a part is on each host, may have lost one.
func (c *testCase) mayTear() bool {
	return c.kind == "postcopy" && (c.moment.name == "switch" || c.moment.finish || c.moment.name == "copy")
}
