package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/migration"
)

// TestPursue has guests of 1000 MiB on a link of 100 MiB/s: what --auto would do for a goal, and what
// else would have to be allowed.
func TestPursue(t *testing.T) {
	const mib = 1 << 20
	idle, below := forecast.Dirt{}, forecast.Dirt{Second: 40 * mib, Growth: 1, Memory: 1000 * mib}
	above, hot := forecast.Dirt{Second: 300 * mib, Growth: 1, Memory: 1000 * mib}, forecast.Dirt{Second: 40 * mib, Memory: 1000 * mib}
	for _, c := range []struct {
		name     string
		dirt     forecast.Dirt
		goal     converge.Goal
		ends     string
		from, to time.Duration // of the downtime
		means    []string
	}{
		{"idle", idle, converge.Goal{}, control.EndsItself, 50 * time.Millisecond, 150 * time.Millisecond, nil},
		{"below", below, converge.Goal{Deadline: time.Minute}, control.EndsItself, 50 * time.Millisecond, 350 * time.Millisecond, nil},
		{"below", below, converge.Goal{Deadline: 14 * time.Second}, control.EndsDeadline, 0, 0, nil},
		{"below", below, converge.Goal{Deadline: 14 * time.Second, Pause: true}, control.AllowPause, 300 * time.Millisecond, 4 * time.Second, nil},
		{"above", above, converge.Goal{}, control.EndsNever, 0, 0, []string{"--allow slow", "--allow postcopy", "--allow pause"}},
		{"above", above, converge.Goal{Slow: true}, control.AllowSlow, 50 * time.Millisecond, 350 * time.Millisecond, nil},
		{"above", above, converge.Goal{Slow: true, Deadline: 30 * time.Second}, control.EndsDeadline, 0, 0, []string{"--allow slow,postcopy", "--allow slow,pause"}},
		{"above", above, converge.Goal{Slow: true, Postcopy: true}, control.AllowPostCopy, 10 * time.Millisecond, 100 * time.Millisecond, nil},
		{"above", above, converge.Goal{Postcopy: true, Pause: true, Deadline: 25 * time.Second}, control.AllowPostCopy, 10 * time.Millisecond, 100 * time.Millisecond, nil},
		{"above", above, converge.Goal{Pause: true}, control.AllowPause, 5 * time.Second, 11 * time.Second, nil},
		{"hot", hot, converge.Goal{Pause: true}, control.AllowPause, 350 * time.Millisecond, 500 * time.Millisecond, nil},
		{"hot", hot, converge.Goal{Downtime: 500 * time.Millisecond}, control.EndsItself, 350 * time.Millisecond, 500 * time.Millisecond, nil},
	} {
		if c.goal.Downtime == 0 {
			c.goal.Downtime = 300 * time.Millisecond
		}
		e := new(control.Estimate)
		pl := &planning{asked: &migration.Asked{Goal: &c.goal}, req: new(control.MigrateRequest)}
		pl.forecast(e, forecast.Guest{Memory: 1000 * mib, Dirt: c.dirt}, forecast.Path{Rate: 100 * mib, Downtime: time.Hour})
		var means []string
		for _, m := range e.Means {
			means = append(means, m.Option)
		}
		moved := c.ends != control.EndsNever && c.ends != control.EndsDeadline
		o := e.Outlook
		if e.Goal.Ends != c.ends || o.Converges != moved || o.Downtime < c.from || moved && o.Downtime > c.to || c.means != nil && !slices.Equal(means, c.means) || moved && means != nil {
			t.Errorf("%s, %+v: %+v, %+v, means %q", c.name, c.goal, e.Goal, o, means)
		}
		if moved && c.goal.Deadline > 0 && o.Total > c.goal.Deadline {
			t.Errorf("%s, %+v: moved after %v", c.name, c.goal, o.Total)
		}
	}
}
