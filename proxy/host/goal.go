package host

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// PassInterval is how often libvirt is asked how far a migration with a goal is: a pass over memory
// that does not fit into the downtime takes longer than that, and its beginning is the moment to act.
const PassInterval = 100 * time.Millisecond

// Goal is what the migration of a guest with so many bytes of memory is to reach: what r says, which
// has been checked, and for the rest what the configuration has.
func (h *Host) Goal(r *control.MigrateRequest, memory uint64) *converge.Goal {
	conf := &h.Config.Auto
	downtime, _ := control.ParseMaxDowntime(cmp.Or(r.MaxDowntime, conf.MaxDowntime))
	deadline, _ := control.ParseDeadline(cmp.Or(r.Deadline, conf.Deadline))
	allow := conf.Allow
	if len(r.Allow) > 0 {
		allow = r.Allow
	}
	return &converge.Goal{
		Downtime: downtime,
		Deadline: deadline.Of(memory),
		Slow:     slices.Contains(allow, control.AllowSlow),
		Postcopy: slices.Contains(allow, control.AllowPostCopy),
		Pause:    slices.Contains(allow, control.AllowPause),
	}
}

// Pursuit makes decisions about a migration away from this host, for its goal, and has them carried
// out. One goroutine uses it.
type Pursuit struct {
	Host      *Host
	Guest     libvirt.Domain
	Entry     *session.Entry
	Log       zerolog.Logger
	Began     time.Time
	Bandwidth uint64         // MiB/s that were asked for; 0: none were
	Virt      *virt.LazyConn // the caller's to close

	// Postcopy asks QEMU to switch, and tells of it. After an error it may be called again. Abort ends
	// the migration for a cause, and is called once at the most.
	Postcopy func(why string) error
	Abort    func(*stream.Cause)

	Decider *converge.Decider

	elapsed time.Duration // of the job, by the last figures
	before  uint64        // QEMU's downtime limit before the first one set here, in ms; 0: not known
}

// Take decides by libvirt's latest figures and the time. What libvirt refuses, since it comes too early
// or too late, is looked at again with the next ones. Figures of another job of the guest's, such as a
// dump before the migration or a migration after it, are left alone.
func (p *Pursuit) Take(st virt.JobStats) {
	if st.Total > 0 && (!st.Leaving || st.Elapsed < p.elapsed) {
		return
	}
	p.elapsed = st.Elapsed
	f := converge.Figures{JobStats: st, At: time.Since(p.Began), Rate: p.Entry.Progress().Rate, Most: p.mostBandwidth()}
	for p.act(p.Decider.Step(f)) {
	}
}

// act does what was decided, and says whether it did, so that there may be more to do.
func (p *Pursuit) act(a converge.Act) bool {
	if a.Do == converge.Nothing || a.Do != converge.Tell && p.leaves() {
		return false
	}
	switch a.Do {
	case converge.Limit:
		if !p.setLimit(uint64(a.Downtime / time.Millisecond)) {
			return false
		}
	case converge.Postcopy:
		if p.Postcopy(a.Why) != nil {
			return false
		}
	case converge.Abort:
		p.Abort(&stream.Cause{Code: stream.CodeTimeout, Host: p.Host.Config.Name, Text: a.Why})
	}
	p.Decider.Did(a)
	if a.Do == converge.Limit || a.Do == converge.Tell { // the others have told
		p.Entry.Decided("%s", a.Why)
		p.Log.Info().Str("why", a.Why).Msg("decided")
	}
	return true
}

// setLimit sets QEMU's downtime limit, in milliseconds. When a migration fails libvirt puts back what it
// found, but it takes a limit at any time: what is set behind the job's end would hold for all later
// migrations, so it is put back here. holds says that the migration goes on by it.
func (p *Pursuit) setLimit(limit uint64) (holds bool) {
	err := p.Virt.Call(context.Background(), func(v *virt.Conn) (err error) {
		if p.before == 0 {
			p.before, _ = v.DomainMigrateGetMaxDowntime(p.Guest, 0)
		}
		if err = v.DomainMigrateSetMaxDowntime(p.Guest, limit, 0); err != nil {
			return err
		}
		if _, holds, err = v.JobStats(p.Guest, 0); err == nil && !holds && p.before > 0 {
			err = v.DomainMigrateSetMaxDowntime(p.Guest, p.before, 0)
		}
		return err
	})
	return err == nil && holds
}

// leaves says whether QEMU has stopped the guest for the last of it, so that it runs there in a moment,
// or it is in post-copy; or libvirt does not say, and it may be.
func (p *Pursuit) leaves() bool {
	var state virt.State
	err := p.Virt.Call(context.Background(), func(v *virt.Conn) (err error) {
		state, err = v.State(context.Background(), p.Guest.UUID)
		return err
	})
	return err != nil || state.PausedForMigration() || state.InPostcopy()
}

// mostBandwidth is what could get through if all other migrations ended, as far as this host's limits
// tell, in bytes per second; 0: it is not known.
func (p *Pursuit) mostBandwidth() uint64 {
	total, own := p.Host.Config.Limits.TotalBandwidth<<20, p.Host.Limits(p.Bandwidth).Bandwidth
	switch {
	case total <= 0:
		return 0
	case own > 0:
		return uint64(min(total, own))
	}
	return uint64(total)
}
