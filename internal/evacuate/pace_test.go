package evacuate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Guests that take longer than planned, to begin and to send, have the time left of the rest corrected.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const begin, send = 4 * time.Second, 30 * time.Second // planned for one second and for ten
		o := on(map[string]uint64{"host-b": 10000}, []string{"host-b"}, sketch{name: "g1", need: 1000}, sketch{name: "g2", need: 1000}, sketch{name: "g3", need: 1000})
		o.Parallel = 1
		e := New(o)
		if left := e.Standing().Left; left != 33*time.Second {
			t.Errorf("at first: %v", left)
		}
		migrate := func(_ context.Context, _ <-chan struct{}, _, _ string, report func(control.Progress)) (*control.Result, error) {
			time.Sleep(begin) // by the bubble's clock, here and below
			for percent := 0.0; percent <= 100; percent += 10 {
				report(control.Progress{Phase: control.PhaseMemory, Percent: percent, Carried: uint64(percent) * 10 * mib})
				time.Sleep(send / 11)
			}
			return &control.Result{Outcome: control.Moved}, nil
		}
		began := time.Now()
		told := func(ev Event) {
			if ev.Progress == nil || ev.Progress.Percent != 50 {
				return
			}
			left, is := e.Standing().Left, 3*(begin+send)-time.Since(began)
			if off := float64(left)/float64(is) - 1; off < -0.45 || off > 0.1 { // by the plan alone: -0.7
				t.Errorf("%s is half sent: %v left are expected of %v", ev.Guest, left, is)
			}
		}
		e.Run(t.Context(), nil, Mover{Migrate: migrate, Told: told})
	})
}
