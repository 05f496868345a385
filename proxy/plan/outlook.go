package plan

import (
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
)

// means are what may bring a migration to an end, in the order in which --auto takes them.
var means = []struct {
	allow string
	of    func(forecast.Guest, forecast.Path) forecast.Forecast
	waits bool // --auto does it once it sees a stall
}{
	{control.AllowSlow, forecast.Throttled, false},
	{control.AllowPostCopy, forecast.Postcopy, true},
	{control.AllowPause, forecast.Paused, true},
}

// forecast works out how the migration goes as it was asked for, and by which means it would end, if
// it doesn't.
func (pl *planning) forecast(e *control.Estimate, guest forecast.Guest, path forecast.Path) {
	if pl.asked.Goal != nil {
		pl.pursue(e, pl.asked.Goal, guest, path)
		return
	}
	asked := forecast.Of
	switch {
	case pl.req.PostCopy && pl.req.TimeoutAction != control.TimeoutPostCopy:
		asked = forecast.Postcopy
	case pl.req.AutoConverge:
		asked = forecast.Throttled
	}
	o := outlook(asked(guest, path))
	e.Outlook = &o
	if o.Converges {
		return
	}
	for _, m := range means {
		if o := outlook(m.of(guest, path)); o.Converges {
			e.Means = append(e.Means, control.Means{Option: "--auto --allow " + m.allow, Outlook: o})
		}
	}
}

// pursue works out what --auto would do for a goal.
func (pl *planning) pursue(e *control.Estimate, g *converge.Goal, guest forecast.Guest, path forecast.Path) {
	path.Downtime, path.Steps, path.Within = g.Downtime, converge.Steps, g.Deadline
	allowed := map[string]bool{control.AllowSlow: g.Slow, control.AllowPostCopy: g.Postcopy, control.AllowPause: g.Pause}
	e.Goal = &control.PlannedGoal{MaxDowntime: g.Downtime, Deadline: g.Deadline}
	for _, m := range means {
		if allowed[m.allow] {
			e.Goal.Allow = append(e.Goal.Allow, m.allow)
		}
	}
	alone := forecast.Of(guest, path)
	inTime := func(f forecast.Forecast) bool { return f.Converges && (g.Deadline == 0 || f.Total <= g.Deadline) }
	take := func(f forecast.Forecast, ends string) {
		o := outlook(f)
		e.Outlook, e.Goal.Ends = &o, ends
	}
	if inTime(alone) {
		take(alone, control.EndsItself)
		return
	}
	for _, m := range means {
		f := m.of(guest, path)
		if !inTime(f) {
			continue
		}
		if m.waits && !alone.Converges {
			f.Total += converge.StallTime(time.Duration(alone.Left / path.Rate * float64(time.Second)))
		}
		if g.Deadline > 0 {
			f.Total = min(f.Total, g.Deadline)
		}
		switch {
		case !allowed[m.allow]:
			e.Means = append(e.Means, control.Means{Option: "--allow " + strings.Join(append(e.Goal.Allow, m.allow), ","), Outlook: outlook(f)})
		case m.allow == control.AllowSlow && 100*f.Throttle > converge.Enough && (g.Postcopy || g.Pause): // they have their turn before
		default:
			e.Means = nil
			take(f, m.allow)
			return
		}
	}
	ends := control.EndsNever
	if g.Deadline > 0 {
		ends = control.EndsDeadline
	}
	take(alone, ends)
	e.Outlook.Converges = false
}

func outlook(f forecast.Forecast) control.Outlook {
	if !f.Converges {
		return control.Outlook{Remaining: uint64(f.Left)}
	}
	return control.Outlook{Converges: true, Passes: f.Passes, Total: f.Total.Round(10 * time.Millisecond), Downtime: f.Downtime.Round(time.Millisecond), Sent: uint64(f.Sent)}
}
