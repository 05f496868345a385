package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A moment is when a fault strikes.
type moment struct {
	name string
	// await returns when it has come. release is called when the fault has struck; nil: there is
	// nothing to release. The caller runs unless first is set.
	await func(s *stage) (release func(), err error)
	first bool // before the caller starts
	over  bool // after the caller's end
	// until tells which processes there are: not host-b's QEMU yet, not host-a's any more.
	noB, noA bool
	finish   bool // the destination has been asked to take the guest over
}

var moments = []*moment{
	{name: "start", first: true, noB: true},
	// libvirt's Begin is on its way, or its answer.
	{name: "begin", noB: true, await: func(s *stage) (func(), error) {
		return nil, s.until("a session on host-a", func() bool { return len(s.status(s.site.A).Sessions) > 0 })
	}},
	// libvirtd at the destination has started QEMU, and has not answered Prepare.
	{name: "prepare", await: func(s *stage) (func(), error) {
		if err := s.until("a QEMU on host-b", func() bool {
			pids, err := s.B.QEMU(s.g.Name)
			return err == nil && len(pids) > 0
		}); err != nil {
			return nil, err
		}
		return s.freezeLibvirtd(s.B)
	}},
	{name: "perform", await: func(s *stage) (func(), error) { return nil, s.flows(64 << 10) }},
	{name: "copy", await: func(s *stage) (func(), error) {
		part := 0.05 + 0.7*s.rng.Float64()
		s.note("at %.0f %% of the copy", 100*part)
		return nil, s.flows(uint64(part * float64(amount(s.g.Spec))))
	}},
	// The last pass over memory, or post-copy.
	{name: "switch", await: func(s *stage) (func(), error) {
		if s.c.kind == "postcopy" {
			return nil, s.until("post-copy", func() bool {
				_, b, _ := s.watch.passes()
				state, _ := s.B.Virsh(s.ctx, "domstate", s.g.Name)
				return b > 0 || state == "running"
			})
		}
		return nil, s.flows(amount(s.g.Spec) * 88 / 100)
	}},
	// Finish is at the destination's libvirtd, which has not done it.
	{name: "finish", finish: true, await: func(s *stage) (func(), error) { return s.inFinish() }},
	// The guest runs at the destination, and libvirtd at the source does not let go of it.
	{name: "confirm", finish: true, await: func(s *stage) (func(), error) {
		thawB, err := s.inFinish()
		if err != nil {
			return nil, err
		}
		thawA, err := s.freezeLibvirtd(s.A)
		if err != nil {
			return nil, err
		}
		thawB()
		return thawA, s.until("the guest runs on host-b", func() bool {
			_, b, _ := s.watch.passes()
			return b > 0
		})
	}},
	{name: "done", over: true, noA: true, finish: true, await: func(s *stage) (func(), error) {
		select {
		case <-s.caller.done:
			return nil, nil
		case <-time.After(momentTimeout):
			return nil, fmt.Errorf("the caller has not ended within %v", momentTimeout)
		}
	}},
}

// momentTimeout is much longer than a migration takes on a busy machine.
const momentTimeout = 90 * time.Second

// until waits for what happens before the caller ends.
func (s *stage) until(what string, done func() bool) error {
	return s.wait(what, momentTimeout, func() (bool, error) {
		running := s.caller.running()
		if done() {
			return true, nil
		}
		if !running {
			return false, fmt.Errorf("%s: the caller ended before that: %s", what, s.caller.words())
		}
		return false, nil
	})
}

// flows waits until so many bytes have been carried.
func (s *stage) flows(n uint64) error {
	return s.until(fmt.Sprintf("%d bytes have been carried", n), func() bool {
		if !s.caller.running() && s.caller.outcome() == control.Moved {
			s.missed = true
			s.note("the guest had moved before the fault struck")
			return true
		}
		return s.carried() >= n
	})
}

func (s *stage) freezeLibvirtd(h *lab.Host) (thaw func(), err error) {
	pid, err := h.LibvirtdPID()
	if err != nil {
		return nil, err
	}
	return func() { s.thaw(pid) }, s.freeze(pid)
}

// inFinish freezes the destination's libvirtd and waits until Finish is asked of it.
func (s *stage) inFinish() (thaw func(), err error) {
	if err := s.flows(amount(s.g.Spec) / 2); err != nil {
		return nil, err
	}
	if thaw, err = s.freezeLibvirtd(s.B); err != nil {
		return nil, err
	}
	asked := func() bool { return s.asked() }
	if s.c.way.alone || s.c.kind == "postcopy" {
		// No sluice sees the call; libvirt makes it as soon as QEMU has sent all.
		asked = func() bool {
			state, err := s.A.Virsh(s.ctx, "domstate", s.g.Name)
			return err == nil && state == "paused"
		}
	}
	return thaw, s.until("Finish is asked for", asked)
}

// asked says whether Finish has gone on to the destination.
func (s *stage) asked() bool {
	if s.c.way.name != "tls" && !strings.Contains(s.site.A.Log(), "the guest is held here") {
		return false
	}
	for _, e := range s.status(s.site.B).Sessions {
		if e.Guest == s.g.Name && e.Phase == control.PhaseFinish {
			return true
		}
	}
	return false
}

func (s *stage) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// paused is a pause that a case asks for.
func (s *stage) paused(d time.Duration, unless <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-unless:
	case <-s.ctx.Done():
		return errors.Join(context.Cause(s.ctx))
	}
	return nil
}
