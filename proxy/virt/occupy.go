package virt

import (
	"context"
	"errors"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// Occupation is a question of libvirt's to a stopped QEMU, which is not answered before that QEMU
// goes on or has ended. As long as it waits, libvirt sends that QEMU nothing else: whatever needs
// QEMU fails after half a minute (VIR_JOB_WAIT_TIME, "cannot acquire state change lock"), that
// libvirt resumes the guest included. It ends QEMU all the same if it is told to.
type Occupation struct {
	v    *Conn
	over chan struct{} // closed once the question is answered
}

// Whether the question waits for QEMU is looked at in these intervals, and so many times in a row it
// must be so: a job of libvirt's own that needs no answer of QEMU's is over by then.
const (
	occupyInterval = 20 * time.Millisecond
	occupiedLooks  = 5
)

// Occupy asks a guest's QEMU, which is stopped, and returns once libvirt says that QEMU has the
// question. It outlives the connection, and this daemon: what frees libvirt is QEMU's answer.
func (l Libvirt) Occupy(ctx context.Context, uuid libvirt.UUID) (*Occupation, error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return nil, err
	}
	var dom libvirt.Domain
	if err = v.Bound(ctx, func() (err error) {
		dom, err = v.DomainLookupByUUID(uuid)
		return err
	}); err != nil {
		v.Close()
		return nil, err
	}
	o := &Occupation{v: v, over: make(chan struct{})}
	go func() {
		defer close(o.over)
		v.DomainGetDiskErrors(dom, 1, 0) // any job that is let in beside a migration, and always asks QEMU
		v.Close()
	}()
	if err := l.awaitOccupied(ctx, dom, o.over); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// awaitOccupied waits until libvirt has a job for the guest that does not end. It is said to be
// occupied then, or, in the midst of a migration, to be in a job (qemuDomainGetControlInfo).
func (l Libvirt) awaitOccupied(ctx context.Context, dom libvirt.Domain, answered <-chan struct{}) error {
	v, err := l.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	again := time.NewTicker(occupyInterval)
	defer again.Stop()
	for seen := 0; ; {
		var state uint32
		if err := v.Bound(ctx, func() (err error) {
			state, _, _, err = v.DomainGetControlInfo(dom, 0)
			return err
		}); err != nil {
			return err
		}
		switch libvirt.DomainControlState(state) {
		case libvirt.DomainControlOccupied, libvirt.DomainControlJob:
			if seen++; seen == occupiedLooks {
				return nil
			}
		default:
			seen = 0
		}
		select {
		case <-again.C:
		case <-answered:
			return errors.New("QEMU answers, or libvirt does not ask it")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close lets go of the connection. libvirt stays occupied as long as QEMU does not answer.
func (o *Occupation) Close() {
	o.v.Close()
	<-o.over
}
