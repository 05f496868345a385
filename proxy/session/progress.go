package session

import (
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/internal/units"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// progress is how far a guest's migration is, by what libvirt at the source says.
type progress struct {
	stats       virt.JobStats // zero: nothing is known yet
	processed   rateMeter
	convergence convergence
}

// SetStats takes in what libvirt at the source says.
func (e *Entry) SetStats(st virt.JobStats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if st.Processed < e.progress.stats.Processed { // of another job
		e.progress = progress{}
	}
	e.progress.stats = st
	e.progress.processed.tick(now, st.Processed)
	e.progress.convergence.add(now, st)
	e.timeline.pass(st, now.Sub(e.started))
}

// Progress is how far the session is.
func (e *Entry) Progress() control.Progress {
	channels := e.channels()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.progressAt(time.Now(), channels)
}

// progressAt is Progress, with mu held.
func (e *Entry) progressAt(now time.Time, channels []Channel) control.Progress {
	st := e.progress.stats
	p := control.Progress{
		Phase:     e.phaseNow(),
		Elapsed:   now.Sub(e.started),
		Total:     st.Total,
		Processed: st.Processed,
		Remaining: st.Remaining,
		DirtyRate: st.DirtyRate,
		Iteration: st.Iteration,
		Throttle:  st.Throttle,
		Downtime:  st.Downtime,
		Channels:  len(channels),
		Carried:   carried(channels),
		Decisions: e.timeline.decisions(),
	}
	p.Rate = e.rate.at(now, p.Carried)
	speed := e.progress.processed.at(now, st.Processed)
	if p.Carried == 0 { // the data goes past this session
		p.Rate = speed
	}
	switch p.Phase {
	case control.PhaseFinish, control.PhaseConfirm, control.PhaseDone:
		p.Percent, p.Remaining, p.Downtime = 100, 0, 0
		return p
	}
	if st.Total > 0 {
		p.Percent = 100 * float64(st.Total-min(st.Remaining, st.Total)) / float64(st.Total)
	}
	passes := e.progress.convergence.passes()
	switch {
	case p.Phase == control.PhasePost: // the source changes nothing any more
		p.DirtyRate, p.Downtime = 0, 0
	case passes > 0:
		p.Stalled = stalled(p, passes, e.goal)
		return p
	}
	if gain := float64(p.Rate) - float64(p.DirtyRate); gain > 0 {
		p.ETA = time.Duration(min(float64(p.Remaining)/gain, farAway.Seconds()) * float64(time.Second))
	}
	return p
}

// farAway bounds an ETA: a peer's figures may be any.
const farAway = 365 * 24 * time.Hour

// phaseNow is the phase, with mu held. libvirt copies disks before the first pass over memory.
func (e *Entry) phaseNow() string {
	if st := e.progress.stats; e.phase == control.PhaseMemory && st.Disks > 0 && st.Iteration == 0 {
		return control.PhaseDisks
	}
	return e.phase
}

// stalledNote is what history has of it.
const stalledNote = "no progress: the guest changes its memory as fast as it gets through"

// stalled says that a migration gets nowhere, why, and what helps, unless that is being done.
func stalled(p control.Progress, passes uint64, goal bool) string {
	slowed := ""
	if p.Throttle > 0 {
		slowed = fmt.Sprintf(" (--auto-converge takes %d %% of its time by now)", p.Throttle)
	}
	if goal {
		return fmt.Sprintf("no progress over the last %d passes: the guest changes %s of its memory%s, and %s get through", passes, units.Rate(p.DirtyRate), slowed, units.Rate(p.Rate))
	}
	return fmt.Sprintf("no progress over the last %d passes: the guest changes %s of its memory%s, and %s get through. "+
		"It ends only if the guest changes less: cancel it and use --auto with --allow, or allow more bandwidth (--bandwidth, limits)",
		passes, units.Rate(p.DirtyRate), slowed, units.Rate(p.Rate))
}

// carried is what channels have carried, both ways.
func carried(channels []Channel) (n uint64) {
	for _, c := range channels {
		n += uint64(c.Sent() + c.Received())
	}
	return n
}
