package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

const (
	bound    = 40 * time.Second // of a migration
	patience = 60 * time.Second // of one that was told to stay, or cannot
)

// migrate moves the guest, and tells it to stay if that takes too long.
func (h *hosts) migrate(ctx context.Context, g *lab.Guest, w way, m *measurement) {
	ctx, cancel := context.WithTimeout(ctx, bound+patience)
	defer cancel()
	aborted := make(chan struct{})
	late := time.AfterFunc(bound, func() {
		defer close(aborted)
		if _, err := h.A.Host.Virsh(ctx, "domjobabort", g.Domain()); err != nil { // in post-copy, or over in this moment
			fmt.Fprintln(os.Stderr, err)
		}
	})
	if w.allow != "" {
		h.bySluice(ctx, g, w, m)
	} else {
		h.byVirsh(ctx, g, w, m)
	}
	if !late.Stop() {
		<-aborted
		if !m.Moved {
			m.Why = fmt.Sprintf("cancelled after %v", bound)
		}
	}
}

func (h *hosts) bySluice(ctx context.Context, g *lab.Guest, w way, m *measurement) {
	r, err := h.A.Migrate(ctx, g.Name, w.sluice()...)
	if m.Moved = err == nil; !m.Moved {
		m.Why = err.Error()
	}
	if r == nil {
		return
	}
	if !m.Moved {
		m.Why = r.Message
	}
	for _, d := range r.Decisions {
		m.Decisions = append(m.Decisions, fmt.Sprintf("%.1f s: %s", float64(d.At)/1000, d.Text))
	}
}

func (h *hosts) byVirsh(ctx context.Context, g *lab.Guest, w way, m *measurement) {
	out, err := h.A.Host.Command(ctx, "virsh", w.virsh(g.Name)...).CombinedOutput()
	if m.Moved = err == nil; !m.Moved {
		m.Why = fmt.Sprintf("%s (%v)", bytes.TrimSpace(out), err)
	}
}

var totalDowntime = regexp.MustCompile(`(?m)^Total downtime: +(\d+) +ms`)

// downtime is libvirt's at the source.
func downtime(ctx context.Context, a *lab.Host, g *lab.Guest) *float64 {
	out, err := a.Virsh(ctx, "domjobinfo", "--completed", g.Domain())
	found := totalDowntime.FindStringSubmatch(out)
	if err != nil || found == nil {
		return nil
	}
	ms, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return nil
	}
	ms /= 1000
	return &ms
}
