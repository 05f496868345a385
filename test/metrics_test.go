package test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Prometheus is told of a guest that has moved, and of one that was given up,
// and how many bytes it took, to the byte.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{top: "metrics = \"127.0.0.1:16515\"\n"})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 16})
	var sent, received [2]uint64 // of a and b: of what is cut off, not all arrives
	count := func() {
		for i, d := range []*daemon{a, b} {
			e := d.ended()
			sent[i], received[i] = sent[i]+e.Sent, received[i]+e.Received
		}
	}
	m := a.migrate(g.Name, slow...)
	m.halfway()
	a.metrics(`sluice_sessions{direction="out",work="migration"} 1`)
	b.metrics(`sluice_sessions{direction="in",work="migration"} 1`)
	s.check(m.cmd.Process.Signal(syscall.SIGINT))
	m.want(control.Cancelled, 3)
	count()
	a.metrics(`sluice_sessions{direction="out",work="migration"} 0`,
		`sluice_sessions_ended_total{direction="out",outcome="cancelled",work="migration"} 1`,
		`sluice_session_failures_total{code="cancelled",direction="out"} 1`)
	b.metrics(`sluice_session_failures_total{code="cancelled",direction="in"} 1`)
	moved(a.migrate(g.Name), g, a, b)
	count()
	for i, d := range []*daemon{a, b} {
		direction := []string{control.Outgoing, control.Incoming}[i]
		d.metrics(fmt.Sprintf(`sluice_sessions_ended_total{direction="%s",outcome="moved",work="migration"} 1`, direction),
			`sluice_sent_bytes_total{channel="memory"} `+strconv.FormatFloat(float64(sent[i]), 'g', -1, 64),
			`sluice_received_bytes_total{channel="memory"} `+strconv.FormatFloat(float64(received[i]), 'g', -1, 64))
	}
}

// metrics waits until the daemon has each of the lines.
func (d *daemon) metrics(lines ...string) {
	d.s.t.Helper()
	for _, line := range lines {
		d.s.wait(d.host.Name+" having "+line, 10*time.Second, func() bool {
			text, _, _ := d.s.run(d.host, "curl", "-sS", "http://127.0.0.1:16515/metrics")
			return strings.Contains(text, line+"\n")
		})
	}
}
