package migration

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/virt"
)

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
	memory, err := m.virt.MostMemory(ctx, m.dom)
	if err != nil {
		return err
	}
	m.goal, m.memory = m.host.Goal(r, memory), memory
	// libvirt takes no paused guest, and none that is to be paused, for a migration that may become
	// post-copy; and older ones none with several connections.
	if r.Suspend || state.Paused() || r.ParallelConnections > 0 && len(r.Allow) == 0 {
		m.goal.Postcopy = false
	}
	return nil
}

// values are libvirt's further parameters. QEMU slows a guest down by 20 %, and by 10 % more after each
// two passes over its memory: where the deadline is too near for that, and nothing else is allowed that
// ends the migration, in longer steps.
func (m *outgoing) values() control.Values {
	v, g := m.req.Values, m.goal
	if g == nil || !g.Slow || g.Postcopy || g.Pause || g.Deadline == 0 || v.Has(control.OptionSlowInitial) || v.Has(control.OptionSlowIncrement) {
		return v
	}
	rate := cmp.Or(m.host.Limits(m.req.Bandwidth).Bandwidth, gigabit)
	if pass := time.Duration(float64(m.memory) / float64(rate) * float64(time.Second)); g.Deadline > passesToSlow*pass {
		return v
	}
	v.Numbers = maps.Clone(v.Numbers)
	if v.Numbers == nil {
		v.Numbers = make(map[string]uint64)
	}
	const initial, increment = 40, 20
	v.Numbers[control.OptionSlowInitial], v.Numbers[control.OptionSlowIncrement] = initial, increment
	m.entry.Decided("QEMU is to slow the guest down by %d %% of its time at first, and by %d %% more each time: the deadline of %v is near for %d MiB of memory", initial, increment, g.Deadline, m.memory>>20)
	return v
}

const (
	// passesToSlow is for how many passes a guest is slowed down until it has next to no time left.
	passesToSlow = 20
	// gigabit is what is taken for the rate where no limit says it, in bytes per second.
	gigabit = 110 << 20
)

// withoutPostcopy leaves out a post-copy that is allowed, and not asked for, to a host without a
// sluice, and says whether there was one.
func (m *outgoing) withoutPostcopy() bool {
	if m.goal == nil || !m.goal.Postcopy {
		return false
	}
	m.goal.Postcopy = false
	m.flags &^= libvirt.MigratePostcopy
	return true
}

// lookInterval is how often libvirt is asked for its figures; 0: as usual.
func (m *outgoing) lookInterval() time.Duration {
	if m.goal == nil || m.postcopy {
		return 0
	}
	return host.PassInterval
}

// decide does what is due by the goal.
func (m *outgoing) decide(st virt.JobStats) {
	switch {
	case m.goal == nil || m.postcopy || m.asked != nil:
		return
	case m.pursuit == nil:
		m.pursuit = &host.Pursuit{Host: m.host, Guest: m.dom, Entry: m.entry, Log: m.log, Began: m.started, Bandwidth: m.req.Bandwidth, Virt: m.watch,
			Postcopy: m.switchOver, Abort: m.abort, Decider: converge.New(*m.goal)}
	}
	m.pursuit.Take(st)
}
