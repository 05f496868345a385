package proxy

import (
	"context"
	"strconv"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// guestState is a guest's state and libvirt's reason for it. A guest that
// libvirt does not know, or that is shut off, is absent.
type guestState struct {
	absent        bool
	state, reason int32
}

// state asks libvirt for the state of the guest with this UUID, within ctx.
func (v *virt) state(ctx context.Context, uuid libvirt.UUID) (st guestState, err error) {
	err = v.bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err == nil {
			st.state, st.reason, err = v.DomainGetState(dom, 0)
		}
		return err
	})
	if libvirt.IsNotFound(err) {
		return guestState{absent: true}, nil
	}
	st.absent = libvirt.DomainState(st.state) == libvirt.DomainShutoff
	return st, err
}

// running says whether the guest has its CPUs at this host and owes no memory
// to another.
func (g guestState) running() bool { return g.String() == "running" }

// paused says whether it was paused by anything but a migration.
func (g guestState) paused() bool { return g.String() == "paused" }

// pausedForMigration says whether libvirt keeps it paused because another host
// may run it.
func (g guestState) pausedForMigration() bool { return g.String() == "paused for migration" }

// inPostcopy says whether a part of the guest is on another host.
func (g guestState) inPostcopy() bool { return strings.HasSuffix(g.String(), "in post-copy") }

// inFailedPostcopy says whether libvirt holds it for a post-copy to be resumed.
func (g guestState) inFailedPostcopy() bool {
	return !g.absent && (libvirt.DomainState(g.state) == libvirt.DomainPaused && g.reason == int32(libvirt.DomainPausedPostcopyFailed) ||
		libvirt.DomainState(g.state) == libvirt.DomainRunning && g.reason == int32(libvirt.DomainRunningPostcopyFailed))
}

// String is the state as virsh domstate words it.
func (g guestState) String() string {
	if g.absent {
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
