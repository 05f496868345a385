package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/internal/units"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// estimate is what all that is measured is told as.
const estimate = "estimate"

// Seconds for which the guest's changes are counted: the longer one tells what it changes again.
const (
	shortSample = 1
	longSample  = 3
)

// samples are those that are taken, the short one twice: QEMU samples few pages.
var samples = []int{shortSample, longSample, shortSample}

// leastSampled is how large memory is of which QEMU samples pages (MIN_RAMBLOCK_SIZE in
// migration/dirtyrate.h); it says of smaller memory that nothing changes.
const leastSampled = 128 << 20

// Each thing that is measured has its own time, so that one that hangs takes nothing from the others.
const (
	linkPatience   = 30 * time.Second // beyond limits.probe_time
	askPatience    = 10 * time.Second
	samplePatience = 10 * time.Second // beyond the time that is sampled
)

// estimate says how long the migration would take, also of a guest that can't go yet. What can't be
// measured is told, and the rest is told all the same. The link comes first, which takes nothing of
// libvirt.
func (pl *planning) estimate(ctx context.Context) {
	e := &control.Estimate{Memory: pl.needs.Memory}
	pl.estimated = e
	var path forecast.Path
	err := within(ctx, pl.Config.Limits.ProbeTime+linkPatience, func(ctx context.Context) (err error) {
		select {
		case pl.Probing <- struct{}{}:
			defer func() { <-pl.Probing }()
		case <-ctx.Done():
			return fmt.Errorf("other plans measure their links: %w", context.Cause(ctx))
		}
		path, err = pl.link(ctx)
		return err
	})
	if err != nil {
		pl.found.Unknown(estimate, "how fast data gets through to %s, and so how long it takes: %v", pl.peer.Name, err)
	}
	e.LinkRate, e.RoundTrip = uint64(path.Rate), path.RoundTrip
	for _, d := range pl.disks {
		if d.Copied && d.Size == 0 {
			pl.found.Unknown(estimate, "how much of disk %s is copied: it is not counted", d.Target)
		} else if d.Copied {
			e.Disks += d.allocated
		}
	}
	began := time.Now()
	pl.askMemory(ctx, e)
	guest := forecast.Guest{Most: float64(pl.needs.Memory), Disks: float64(e.Disks)}
	known := pl.dirt(ctx, &guest)
	if resident, err := pl.resident(ctx); err == nil && resident > e.Memory && known && pl.asked.State.Running() { // it has come to use more meanwhile
		guest.Grows = float64(resident-e.Memory) / time.Since(began).Seconds()
		e.Memory = resident
	}
	guest.Memory = float64(e.Memory)
	guest.Dirt = guest.Dirt.Beside(guest.Grows)
	e.HotMemory, e.DirtyRate = uint64(guest.Dirt.Again()), uint64(guest.Dirt.Second+guest.Grows)
	if known && err == nil {
		path.Downtime = e.MaxDowntime
		pl.forecast(e, guest, path)
	}
}

// within bounds what is asked for.
func within(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	ctx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer stop()
	return ask(ctx)
}

// askMemory asks libvirt how much is to be sent, and for how long the guest may stand still.
func (pl *planning) askMemory(ctx context.Context, e *control.Estimate) {
	resident, err := pl.resident(ctx)
	switch {
	case pl.needs.Huge:
		pl.found.Unknown(estimate, "how much of the guest's huge pages is not zero: all are counted")
	case err != nil:
		pl.found.Unknown(estimate, "how much of the guest's memory is not zero: %s; all is counted", virt.Words("asking for it", err))
	default:
		e.Memory = resident
	}
	err = within(ctx, askPatience, func(ctx context.Context) (err error) {
		e.MaxDowntime, err = pl.asked.Virt.MaxDowntime(ctx, pl.asked.Guest)
		return err
	})
	if err != nil {
		pl.found.Unknown(estimate, "which downtime QEMU allows itself: %s; its default is assumed", virt.Words("asking for it", err))
	}
}

// resident is how much of the guest's memory has been touched.
func (pl *planning) resident(ctx context.Context) (bytes uint64, err error) {
	err = within(ctx, askPatience, func(ctx context.Context) (err error) {
		bytes, err = pl.asked.Virt.Resident(ctx, pl.asked.Guest)
		return err
	})
	return min(bytes, pl.needs.Memory), err
}

// dirt counts what the guest changes, if it runs.
func (pl *planning) dirt(ctx context.Context, guest *forecast.Guest) (known bool) {
	const unknown = "how fast the guest changes its memory, and so whether and when it will have moved: %s"
	switch {
	case !pl.asked.State.Running():
		return true
	case pl.needs.Memory < leastSampled:
		pl.found.Unknown(estimate, unknown, "QEMU samples no memory of less than "+units.Size(leastSampled))
		return false
	}
	bytes := make(map[int][]float64)
	began, before := time.Now(), pl.ran()
	for _, seconds := range samples {
		err := within(ctx, time.Duration(seconds)*time.Second+samplePatience, func(ctx context.Context) error {
			n, err := pl.asked.Virt.Dirtied(ctx, pl.asked.Guest, seconds)
			bytes[seconds] = append(bytes[seconds], float64(n))
			return err
		})
		if err != nil {
			pl.found.Unknown(estimate, unknown, virt.Words("measuring it", err))
			return false
		}
	}
	if now := pl.ran(); before > 0 && now > before {
		guest.Busy = (now - before).Seconds() / time.Since(began).Seconds()
	}
	a, b := bytes[shortSample][0], bytes[shortSample][1]
	short := (a + b) / 2
	if most := max(a, b); most > 2*min(a, b) { // it works in bursts, and it may meet the next
		short = most
	}
	guest.Dirt = forecast.Fit(short, bytes[longSample][0], float64(pl.needs.Memory))
	return true
}

// ran is the processor time of the busiest of the guest's vCPUs; 0: it can't be seen.
func (pl *planning) ran() time.Duration {
	qemu, err := virt.FindQEMU(pl.Config.QEMUPIDs, pl.asked.Guest.Name, pl.asked.Guest.UUID, pl.QEMUUID)
	if err != nil {
		return 0
	}
	defer qemu.Close()
	ran, _ := qemu.Ran()
	return ran
}
