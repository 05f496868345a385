package proxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
)

// durations are how long migrations took that have ended, and how long their guests were paused.
type durations struct{ took, paused *prometheus.HistogramVec }

// newDurations has all series from the beginning: to Prometheus a count that first appears as 1 has
// not risen.
func newDurations() *durations {
	d := &durations{
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_migration_duration_seconds", Help: "How long migrations took that have ended, from the session's opening to its end.",
			Buckets: []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200, 21600},
		}, []string{"direction", "work", "outcome"}),
		paused: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_migration_downtime_seconds", Help: "How long guests did not run while they were moved, where libvirt at the destination has said so.",
			Buckets: []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30},
		}, []string{"direction", "work"}),
	}
	for _, direction := range []string{control.Outgoing, control.Incoming} {
		for _, work := range []string{session.WorkMigration, session.WorkSteered} {
			for _, outcome := range []string{control.Moved, control.Failed, control.Cancelled, control.Unknown} {
				d.took.WithLabelValues(direction, work, outcome)
			}
			d.paused.WithLabelValues(direction, work)
		}
	}
	return d
}

// add takes in a session that has ended.
func (d *durations) add(r *control.SessionRecord) {
	if r.Kind != session.WorkMigration && r.Kind != session.WorkSteered {
		return
	}
	d.took.WithLabelValues(r.Direction, r.Kind, r.Outcome).Observe(r.Ended.Sub(r.Started).Seconds())
	if r.Outcome == control.Moved && r.Downtime > 0 {
		d.paused.WithLabelValues(r.Direction, r.Kind).Observe(r.Downtime.Seconds())
	}
}

func (d *durations) Describe(out chan<- *prometheus.Desc) {
	d.took.Describe(out)
	d.paused.Describe(out)
}

func (d *durations) Collect(out chan<- prometheus.Metric) {
	d.took.Collect(out)
	d.paused.Collect(out)
}
