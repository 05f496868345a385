package migration

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// passInterval is how often libvirt is asked how far a migration with a goal is: a pass over memory that
// does not fit into the downtime takes longer than that, and its beginning is the moment to act.
const passInterval = 100 * time.Millisecond

// findGoal says what the migration is to reach: what was asked for, and for the rest what the
// configuration has.
func (m *outgoing) findGoal(ctx context.Context, state virt.State) error {
	r, conf := m.req, &m.host.Config.Auto
	switch {
	case r.Auto == control.Unset && r.HasGoal() && !conf.Always:
		return control.WrongUse("--max-downtime, --deadline and --allow are goals of --auto: add --auto, or set auto.always on %s", m.host.Config.Name)
	case r.Auto == control.No, r.Auto == control.Unset && !conf.Always, r.ByHand():
		return nil
	}
	downtime, _ := control.ParseMaxDowntime(cmp.Or(r.MaxDowntime, conf.MaxDowntime)) // both have been checked
	deadline, _ := control.ParseDeadline(cmp.Or(r.Deadline, conf.Deadline))
	allow := conf.Allow
	if len(r.Allow) > 0 {
		allow = r.Allow
	}
	var memory uint64
	err := m.virt.Bound(ctx, func() (err error) {
		_, most, _, _, _, err := m.virt.DomainGetInfo(m.dom)
		memory = most << 10
		return err
	})
	if err != nil {
		return err
	}
	m.goal = &converge.Goal{
		Downtime: downtime,
		Deadline: deadline.Of(memory),
		Slow:     slices.Contains(allow, control.AllowSlow),
		Postcopy: slices.Contains(allow, control.AllowPostCopy),
		Pause:    slices.Contains(allow, control.AllowPause),
	}
	// libvirt takes no paused guest, and none that is to be paused, for a migration that may become
	// post-copy; and older ones none with several connections.
	if r.Suspend || state.Paused() || r.ParallelConnections > 0 && len(r.Allow) == 0 {
		m.goal.Postcopy = false
	}
	return nil
}

// withoutPostcopy leaves out a post-copy that is allowed, and not asked for, to a host without a
// sluice.
func (m *outgoing) withoutPostcopy() {
	if m.goal == nil || !m.goal.Postcopy {
		return
	}
	m.goal.Postcopy = false
	m.flags &^= libvirt.MigratePostcopy
	m.entry.Decided("post-copy is not used: it needs a sluice on %s, which can tell what became of the guest", m.peer.Name)
	m.log.Info().Msg("post-copy is not used: it needs a sluice there, which can tell what became of the guest")
}

// lookInterval is how often libvirt is asked for its figures; 0: as usual.
func (m *outgoing) lookInterval() time.Duration {
	if m.goal == nil || m.postcopy {
		return 0
	}
	return passInterval
}

// decide does what is due by the goal. What libvirt refuses, since it comes too early or too late, is
// looked at again with the next figures.
func (m *outgoing) decide() {
	if m.goal == nil || m.postcopy || m.asked != nil {
		return
	}
	if m.decider == nil {
		m.decider = converge.New(*m.goal)
	}
	f := converge.Figures{JobStats: m.stats, At: time.Since(m.started), Rate: m.entry.Progress().Rate, Most: m.mostBandwidth()}
	for m.act(m.decider.Step(f)) {
	}
}

// act does what was decided, and says whether it did, so that there may be more to do.
func (m *outgoing) act(a converge.Act) bool {
	switch a.Do {
	case converge.Nothing:
		return false
	case converge.Limit:
		if m.leaves() || m.watch.Call(context.Background(), func(v *virt.Conn) error {
			return v.DomainMigrateSetMaxDowntime(m.dom, uint64(a.Downtime/time.Millisecond), 0)
		}) != nil {
			return false
		}
	case converge.Postcopy:
		if m.leaves() || m.switchOver(a.Why) != nil {
			return false
		}
	case converge.Abort:
		if m.leaves() { // it runs there in a moment
			return false
		}
		m.abort(&stream.Cause{Code: stream.CodeTimeout, Host: m.host.Config.Name, Text: a.Why})
	}
	m.decider.Did(a)
	if a.Do == converge.Limit || a.Do == converge.Tell { // the others have told
		m.entry.Decided("%s", a.Why)
		m.log.Info().Str("why", a.Why).Msg("decided")
	}
	return true
}

// leaves says whether QEMU has stopped the guest for the last of it.
func (m *outgoing) leaves() bool {
	var state virt.State
	err := m.watch.Call(context.Background(), func(v *virt.Conn) (err error) {
		state, err = v.State(context.Background(), m.dom.UUID)
		return err
	})
	return err == nil && state.PausedForMigration()
}

// mostBandwidth is what could get through if all other migrations ended, as far as this host's limits
// tell, in bytes per second; 0: it is not known.
func (m *outgoing) mostBandwidth() uint64 {
	total, own := m.host.Config.Limits.TotalBandwidth<<20, m.host.Limits(m.req.Bandwidth).Bandwidth
	switch {
	case total <= 0:
		return 0
	case own > 0:
		return uint64(min(total, own))
	}
	return uint64(total)
}
