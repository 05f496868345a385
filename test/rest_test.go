package test

import (
	"context"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/stand"
)

// holds looks at what the daemon has open and at work.
func (d *daemon) holds() stand.Holdings {
	d.s.t.Helper()
	ctx, cancel := context.WithTimeout(d.s.ctx, 10*time.Second)
	defer cancel()
	h, err := stand.Holds(ctx, d.cmd.Process.Pid, d.goroutinesFile())
	d.s.check(err)
	return h
}

// waitStarted waits until the daemon's start is over, and notes what it holds then.
func (d *daemon) waitStarted() {
	d.s.t.Helper()
	d.s.wait("the start is over", 30*time.Second, func() bool {
		d.idle = d.holds()
		return d.idle.Started()
	})
}

// waitIdle waits until the daemon holds nothing that it did not hold when it was new.
func (d *daemon) waitIdle() {
	d.s.t.Helper()
	late := time.After(20 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		more := d.holds().Beyond(d.idle)
		if more == nil {
			return
		}
		select {
		case <-again.C:
		case <-late:
			d.s.t.Fatalf("sluice on %s does not come to rest: %v", d.host.Name, more)
		}
	}
}

func (d *daemon) goroutinesFile() string { return strings.TrimSuffix(d.logTo, ".log") + ".goroutines" }
