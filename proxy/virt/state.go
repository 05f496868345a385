package virt

import (
	"context"
	"strconv"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// State is a guest's state and libvirt's reason for it. A guest that
// libvirt does not know, or that is shut off, is absent.
type State struct {
	Absent        bool
	state, reason int32
}

// State asks libvirt for the state of the guest with this UUID, within ctx.
func (v *Conn) State(ctx context.Context, uuid libvirt.UUID) (st State, err error) {
	err = v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err == nil {
			st.state, st.reason, err = v.DomainGetState(dom, 0)
		}
		return err
	})
	if libvirt.IsNotFound(err) {
		return State{Absent: true}, nil
	}
	st.Absent = libvirt.DomainState(st.state) == libvirt.DomainShutoff
	return st, err
}

// Asks says whether libvirt has a question to the guest's QEMU under way, as far as it tells.
func (v *Conn) Asks(ctx context.Context, uuid libvirt.UUID) bool {
	var state uint32
	err := v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err == nil {
			state, _, _, err = v.DomainGetControlInfo(dom, 0)
		}
		return err
	})
	return err == nil && libvirt.DomainControlState(state) != libvirt.DomainControlOk
}

// Running says whether the guest has its CPUs at this host and owes no memory to another.
func (g State) Running() bool { return g.String() == "running" }

// Paused says whether it was paused by anything but a migration.
func (g State) Paused() bool { return g.String() == "paused" }

// PausedForMigration says whether libvirt keeps it paused because another host may run it.
func (g State) PausedForMigration() bool { return g.String() == "paused for migration" }

// InPostcopy says whether a part of the guest is on another host.
func (g State) InPostcopy() bool { return strings.HasSuffix(g.String(), "in post-copy") }

// inFailedPostcopy says whether libvirt holds it for a post-copy to be resumed.
func (g State) inFailedPostcopy() bool {
	return !g.Absent && (libvirt.DomainState(g.state) == libvirt.DomainPaused && g.reason == int32(libvirt.DomainPausedPostcopyFailed) ||
		libvirt.DomainState(g.state) == libvirt.DomainRunning && g.reason == int32(libvirt.DomainRunningPostcopyFailed))
}

// String is the state as virsh domstate words it.
func (g State) String() string {
	if g.Absent {
		return "absent"
	}
	switch libvirt.DomainState(g.state) {
	case libvirt.DomainRunning, libvirt.DomainBlocked:
		switch libvirt.DomainRunningReason(g.reason) {
		case libvirt.DomainRunningPostcopy, libvirt.DomainRunningPostcopyFailed:
			return "running in post-copy"
		}
		return "running"
	case libvirt.DomainPaused:
		switch libvirt.DomainPausedReason(g.reason) {
		case libvirt.DomainPausedPostcopy, libvirt.DomainPausedPostcopyFailed:
			return "paused in post-copy"
		case libvirt.DomainPausedMigration:
			return "paused for migration"
		}
		return "paused"
	case libvirt.DomainShutdown:
		return "shutting down"
	case libvirt.DomainCrashed:
		return "crashed"
	}
	return "in state " + strconv.Itoa(int(g.state))
}
