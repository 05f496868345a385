package main

import (
	"context"
	"errors"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

const (
	before   = 3 * time.Second // of a guest's work, which is compared
	cellTime = 3 * time.Minute // of all that belongs to a guest and a way
)

// measurement is of one guest, moved in one way. Times are in seconds.
type measurement struct {
	Guest    string   `json:"guest"`
	Way      string   `json:"way"`
	Moved    bool     `json:"moved"`
	Seconds  float64  `json:"seconds"`
	Downtime *float64 `json:"libvirt_downtime,omitempty"` // nil: libvirt does not say
	Silence  float64  `json:"silence"`
	Usual    float64  `json:"silence_before"`
	Work     float64  `json:"passes_per_second_before"`
	Lost     float64  `json:"lost"` // of the guest's work: what would have taken so long before

	Decisions []string `json:"decisions,omitempty"` // sluice's
	Why       string   `json:"why,omitempty"`       // it has not moved
	Error     string   `json:"error,omitempty"`     // of the measurement: it says nothing else
}

// LostPercent is how much of its work the guest lost while it was moved.
func (m *measurement) LostPercent() float64 { return 100 * m.Lost / m.Seconds }

// cell starts a guest and moves it.
func (h *hosts) cell(ctx context.Context, spec lab.GuestSpec, w way, m *measurement) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cellTime)
	defer cancel()
	a, b := h.A.Host, h.B.Host
	g, err := a.StartGuest(ctx, spec)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, g.Destroy(ctx))
	}()
	if err := h.usual(ctx, g, m); err != nil {
		return err
	}
	if err := atBurst(ctx, g, a); err != nil {
		return err
	}
	did, err := h.passes(g)
	if err != nil {
		return err
	}
	watch, start := g.Watch(), time.Now()
	h.migrate(ctx, g, w, m)
	m.Seconds, m.Silence = time.Since(start).Seconds(), watch.Stop().Seconds()
	does, err := h.passes(g)
	if err != nil {
		return err
	}
	m.Lost = max(0, m.Seconds-float64(does-did)/m.Work)
	at := a
	if m.Moved {
		at = b
		m.Downtime = downtime(ctx, a, g)
	}
	return h.lab.CheckOnlyOn(ctx, g, at)
}

// usual is how the guest works when nobody moves it.
func (h *hosts) usual(ctx context.Context, g *lab.Guest, m *measurement) error {
	if err := g.WaitPasses(ctx, h.A.Host, 3); err != nil {
		return err
	}
	watch, start, passes := g.Watch(), time.Now(), int(before.Seconds())*g.Spec.PassesPerSecond
	err := g.WaitPasses(ctx, h.A.Host, passes)
	m.Usual, m.Work = watch.Stop().Seconds(), float64(passes)/time.Since(start).Seconds()
	return err
}

// atBurst waits until a guest begins to dirty memory, so that all ways meet it in the same state.
func atBurst(ctx context.Context, g *lab.Guest, at *lab.Host) error {
	if g.Spec.RestPasses == 0 {
		return nil
	}
	n, err := g.Passes(at)
	if err != nil {
		return err
	}
	round := g.Spec.BurstPasses + g.Spec.RestPasses
	return g.WaitPasses(ctx, at, round-n%round)
}

func (h *hosts) passes(g *lab.Guest) (all int, err error) {
	for _, host := range h.lab.Hosts() {
		n, err := g.Passes(host)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}
