package departure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// fence carries out what comes before Finish.
func (d *Departure) fence(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	begun := time.Now()
	v, err := d.table.Libvirt.Connect(ctx)
	if err == nil {
		defer v.Close()
		err = d.findQEMU(ctx, v)
	}
	if err == nil { // a daemon that dies from here on leaves word of the guest
		err = d.keep()
	}
	if err != nil {
		d.decide(Absent, "it was not asked")
		return err
	}
	var why error
	for {
		switch d.state.Next() {
		case SetFence:
			switch err := d.setFence(ctx, v); {
			case errors.Is(err, virt.ErrQEMUEnded):
				d.state.Ended, why = true, err
			case err != nil:
				d.cannot(err)
			}
		case LookAtCaller:
			d.state.Looks++
			if d.move.HungUp != nil && d.move.HungUp() {
				d.state.Caller = Gone
				why = errors.New("libvirt here has given it up: it closed its connection before the destination was asked to take the guest over")
			}
		case LookAtGuest:
			d.state.Looks++
			state, err := v.State(ctx, d.uuid)
			if err != nil {
				why = fmt.Errorf("look at the guest: %w", err)
				d.state.Guest = NotHere
				continue
			}
			if d.state.Guest = guestOf(state); d.state.Next() != LookAtCaller {
				why = fmt.Errorf("guest %s is %v on %s, where it was to be paused for its migration", d.rec.Guest, state, d.table.Host)
			}
		case Refuse:
			d.decide(Absent, "it was not asked")
		case Lift:
			if d.act(Lift) {
				return why // run tries again
			}
		case AnswerAbsent:
			d.act(AnswerAbsent)
			return why
		case Forward:
			d.log.Info().Bool("fenced", d.state.Fenced).Dur("took", time.Since(begun)).Msg("the guest is held here until it is known what becomes of it")
			return nil
		default:
			return why
		}
	}
}

// findQEMU finds the guest's process. Without one there is no fence, and no error.
func (d *Departure) findQEMU(ctx context.Context, v *virt.Conn) error {
	var dom libvirt.Domain
	if err := v.Bound(ctx, func() (err error) {
		dom, err = v.DomainLookupByUUID(d.uuid)
		return err
	}); err != nil {
		return fmt.Errorf("find the guest: %w", err)
	}
	d.rec.Guest = dom.Name
	proc, err := virt.FindQEMU(d.table.PIDs, dom.Name, d.uuid, d.table.QEMUUID)
	switch {
	case err == nil:
		d.proc, d.rec.PID, d.rec.Started = proc, proc.PID, proc.Started
		d.state.HasQEMU = !d.move.Fence
	case d.move.Fence:
		d.cannot(err)
	}
	return nil
}

// questionPatience bounds what an answer of QEMU's to libvirt may add to the guest's downtime.
const questionPatience = time.Second

// setFence stops QEMU while libvirt has asked it nothing. A question that a stopped QEMU does not
// answer fails whoever asks, such as a client that looks at the migration's figures, when QEMU is
// ended, and it may keep libvirt from ending QEMU.
func (d *Departure) setFence(ctx context.Context, v *virt.Conn) error {
	patience := time.Now().Add(questionPatience)
	asks := func() bool { return time.Now().Before(patience) && v.Asks(ctx, d.uuid) }
	for {
		if err := d.proc.Stop(); err != nil {
			d.proc.Continue()
			return err
		}
		if !asks() {
			d.state.Fenced = true
			return nil
		}
		if err := d.proc.Continue(); err != nil {
			return err
		}
		for asks() {
		}
	}
}

// cannot goes on without a fence, as libvirt alone would.
func (d *Departure) cannot(err error) {
	d.state.NoFence = true
	d.table.warned.Do(func() {
		d.log.Warn().Err(err).Msg("guests' QEMU processes can't be stopped while their destination takes them over: if sluice or the link fails in that moment, libvirt here may resume a guest that runs there (`sluice check` says what is missing)")
	})
}
