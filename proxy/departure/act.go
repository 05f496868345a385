package departure

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// act carries out one action, and says whether to wait before the next.
func (d *Departure) act(a Action) (wait bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.table.ctx), lookTimeout)
	defer cancel()
	var err error
	switch a {
	case AnswerRuns, AnswerAbsent, AnswerUnknown:
		d.state.Caller = Told
		d.openAnswer()
		return false
	case Ask:
		return d.ask(ctx)
	case Report:
		d.report()
		return false
	case Occupy:
		d.occupy(ctx)
		return false
	case Lift:
		if err = d.proc.Continue(); errors.Is(err, virt.ErrQEMUEnded) {
			d.state.Ended, err = true, nil
		}
		if err == nil {
			d.state.Fenced, d.state.Guest, d.looks = false, NotSeen, turns{}
			if d.state.Verdict == Unknown {
				d.log.Info().Msg("libvirt here leaves the guest paused, so that its QEMU need not be stopped any more")
			} else {
				d.note("it is not there, and goes on here")
				d.log.Info().Msg("the guest is not at the destination, and may go on here")
			}
			return false
		}
	case Release:
		if err = d.proc.Continue(); errors.Is(err, virt.ErrQEMUEnded) {
			d.state.Ended, err = true, nil
		}
		if err == nil {
			d.state.Fenced, d.state.HasQEMU, d.state.Guest, d.looks = false, true, NotSeen, turns{}
			return false
		}
	case Kill:
		if err = d.proc.Kill(); err == nil {
			d.state.Ended, d.state.Guest, d.looks = true, NotSeen, turns{}
			d.note("its QEMU here is ended")
			return false
		}
		d.state.HasQEMU = false // libvirt here has to do it
	case LookAtGuest:
		err = d.withLibvirt(ctx, func(v *virt.Conn) error {
			state, err := v.State(ctx, d.uuid)
			if err == nil {
				d.state.Guest = guestOf(state)
			}
			return err
		})
		if err == nil {
			return false
		}
	case Remove:
		if d.startedAgain() {
			d.state.Guest = Running
			return false
		}
		err = d.withDomain(ctx, func(v *virt.Conn, dom libvirt.Domain) error {
			return v.DomainDestroyFlags(dom, libvirt.DomainDestroyDefault)
		})
		d.state.Guest = NotSeen
	case Clear:
		err = d.withDomain(ctx, func(v *virt.Conn, dom libvirt.Domain) error {
			return v.DomainUndefineFlags(dom, libvirt.DomainUndefineManagedSave|libvirt.DomainUndefineSnapshotsMetadata|libvirt.DomainUndefineCheckpointsMetadata|libvirt.DomainUndefineKeepNvram)
		})
		if err == nil {
			d.state.Cleared = true
			return false
		}
	case Resume:
		err = d.withDomain(ctx, func(v *virt.Conn, dom libvirt.Domain) error { return v.DomainResume(dom) })
		d.state.Guest = NotSeen
		if err == nil {
			d.log.Info().Msg("the guest was left paused here, and is resumed")
		}
	}
	if err != nil {
		d.note(fmt.Sprintf("%v fails: %v", a, err))
		d.log.Warn().Err(err).Stringer("doing", a).Msg("the guest that has left is not settled yet; trying again")
	}
	return true
}

// startedAgain says whether the guest has another QEMU here than the one that was stopped: its user
// has started it since.
func (d *Departure) startedAgain() bool {
	p, err := virt.FindQEMU(d.table.PIDs, d.rec.Guest, d.uuid, d.table.QEMUUID)
	if err != nil {
		return false
	}
	defer p.Close()
	return d.rec.PID != 0 && (p.PID != d.rec.PID || p.Started != d.rec.Started)
}

func (d *Departure) withLibvirt(ctx context.Context, f func(*virt.Conn) error) error {
	v, err := d.table.Libvirt.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Bound(ctx, func() error { return f(v) })
}

// withDomain has f do something to the guest. One that libvirt does not know needs nothing done.
func (d *Departure) withDomain(ctx context.Context, f func(*virt.Conn, libvirt.Domain) error) error {
	return d.withLibvirt(ctx, func(v *virt.Conn) error {
		dom, err := v.DomainLookupByUUID(d.uuid)
		if err == nil {
			err = f(v, dom)
		}
		if libvirt.IsNotFound(err) {
			return nil
		}
		return err
	})
}

func (d *Departure) ask(ctx context.Context) (wait bool) {
	d.state.Unoccupied = false
	answer, err := d.move.Ask(ctx)
	switch {
	case err != nil:
		d.note(err.Error())
		d.log.Warn().Err(err).Msg("no answer yet")
	case answer.Verdict == Unknown:
		d.note(fmt.Sprintf("on %s it is %s", d.rec.Peer, answer.State))
		d.log.Warn().Str("state", answer.State).Msg("it is not decided yet")
	default:
		d.log.Info().Str("verdict", string(answer.Verdict)).Msg("the destination says what became of the guest")
		d.decide(answer.Verdict, d.rec.Peer+" has said so")
		return false
	}
	return true
}

// occupy keeps libvirt here from QEMU, so that the caller can be told.
func (d *Departure) occupy(ctx context.Context) {
	var err error
	if d.occupied, err = d.table.Libvirt.Occupy(ctx, d.uuid); err != nil {
		d.state.Unoccupied = true
		d.log.Warn().Err(err).Msg("who moves the guest has to wait on, as libvirt here might resume it")
		return
	}
	d.state.Occupied = true
	d.log.Info().Msg("libvirt here waits for the guest's stopped QEMU and can't resume it; who moves the guest is told that nobody can tell")
}

// report tells, once, that nobody could tell in time.
func (d *Departure) report() {
	d.state.Reported = true
	close(d.overdue)
	last := d.Status().Last
	d.note(last)
	here := "paused"
	if d.state.Fenced {
		here = "stopped"
	}
	d.log.Error().Str("last", last).Msgf("nobody can tell whether guest %s runs on %s; here it is %s, so that it does not run twice. sluice goes on asking. If %s can't come back: `sluice resolve %s --there` if the guest runs there, `sluice resolve %s --here` if it does not and never will",
		d.rec.Guest, d.rec.Peer, here, d.rec.Peer, d.rec.Guest, d.rec.Guest)
}
