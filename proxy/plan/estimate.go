package plan

import (
	"context"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// Seconds for which the guest's changes are counted: the longer one tells what it changes again.
const (
	shortSample = 1
	longSample  = 3
)

// estimatePatience bounds all that is measured.
const estimatePatience = 30 * time.Second

// estimate says how long the migration would take, of a guest that can go. What can't be measured is
// told, and the rest is told all the same.
func (pl *planning) estimate(ctx context.Context) {
	const what = "estimate"
	ctx, stop := context.WithTimeoutCause(ctx, estimatePatience, fmt.Errorf("no answer within %v", estimatePatience))
	defer stop()
	e := &control.Estimate{Memory: pl.needs.Memory}
	v, dom := pl.asked.Virt, pl.asked.Guest
	if pl.needs.Huge {
		pl.found.unknown(what, "how much of the guest's huge pages is not zero: all are counted")
	} else if n, err := v.Resident(ctx, dom); err != nil {
		pl.found.unknown(what, "how much of the guest's memory is not zero: %s; all is counted", virt.Words("asking for it", err))
	} else {
		e.Memory = min(e.Memory, n)
	}
	var err error
	if e.MaxDowntime, err = v.MaxDowntime(ctx, dom); err != nil {
		pl.found.unknown(what, "which downtime QEMU allows itself: %s", virt.Words("asking for it", err))
	}
	for _, d := range pl.disks {
		if d.Copied {
			e.Disks += d.allocated
		}
	}
	guest := forecast.Guest{Memory: float64(e.Memory), Disks: float64(e.Disks)}
	dirtKnown := pl.dirt(ctx, &guest)
	e.HotMemory, e.DirtyRate = uint64(guest.Dirt.Hot), uint64(guest.Dirt.Rate)
	rate, err := pl.linkRate(ctx)
	if err != nil {
		pl.found.unknown(what, "how fast data gets through to %s: %v", pl.peer.Name, err)
		return
	}
	e.LinkRate = uint64(rate)
	pl.estimated = e
	if !dirtKnown {
		return
	}
	pl.forecast(e, guest, forecast.Path{Rate: rate, Downtime: e.MaxDowntime})
}

// dirt counts what the guest changes, if it runs.
func (pl *planning) dirt(ctx context.Context, guest *forecast.Guest) (known bool) {
	if !pl.asked.State.Running() {
		return true
	}
	var bytes [2]float64
	for i, seconds := range []int{shortSample, longSample} {
		n, err := pl.asked.Virt.Dirtied(ctx, pl.asked.Guest, seconds)
		if err != nil {
			pl.found.unknown("estimate", "how fast the guest changes its memory, and so whether and when it will have moved: %s", virt.Words("measuring it", err))
			return false
		}
		bytes[i] = float64(n)
	}
	guest.Dirt = forecast.Fit(bytes[0], bytes[1], guest.Memory)
	return true
}

// forecast works out how the migration goes as it was asked for, and by which means it would
// converge, if it doesn't.
func (pl *planning) forecast(e *control.Estimate, guest forecast.Guest, path forecast.Path) {
	take := func(f forecast.Forecast) control.Outlook {
		if !f.Converges {
			return control.Outlook{Remaining: uint64(f.Left)}
		}
		return control.Outlook{Converges: true, Passes: f.Passes, Total: f.Total.Round(10 * time.Millisecond), Downtime: f.Downtime.Round(time.Millisecond), Sent: uint64(f.Sent)}
	}
	asked := forecast.Of
	switch {
	case pl.req.PostCopy && pl.req.TimeoutAction != control.TimeoutPostCopy:
		asked = forecast.Postcopy
	case pl.req.AutoConverge:
		asked = forecast.Throttled
	}
	o := take(asked(guest, path))
	e.Outlook = &o
	if o.Converges {
		return
	}
	for _, m := range []struct {
		option string
		of     func(forecast.Guest, forecast.Path) forecast.Forecast
	}{
		{"--auto-converge", forecast.Throttled},
		{"--postcopy", forecast.Postcopy},
		{"--timeout SECONDS --timeout-suspend", forecast.Paused},
	} {
		if o := take(m.of(guest, path)); o.Converges {
			e.Means = append(e.Means, control.Means{Option: m.option, Outlook: o})
		}
	}
}
