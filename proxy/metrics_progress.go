package proxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// What Prometheus is told of each live session. Its series end with it, and the session's label is
// the beginning of an ID, of which the whole names the session to those who may open channels of it.
var (
	sessionLabels  = []string{"session", "direction", "work"}
	phaseMetric    = newMetric("session_phase", "1, labelled with what a session under way is at.", "session", "direction", "work", "phase")
	rateMetric     = newMetric("session_bytes_per_second", "Bytes that a session under way carries, both ways, over the last seconds.", sessionLabels...)
	ratioMetric    = newMetric("session_completed_ratio", "How much of a guest is at its destination, from 0 to 1, of what libvirt knows that it must move.", sessionLabels...)
	leftMetric     = newMetric("session_remaining_bytes", "Bytes of a guest that are to be moved yet.", sessionLabels...)
	dirtyMetric    = newMetric("session_dirty_bytes_per_second", "Bytes of its memory that a guest changes while it is moved.", sessionLabels...)
	passesMetric   = newMetric("session_memory_passes", "Passes over a guest's memory that have begun.", sessionLabels...)
	etaMetric      = newMetric("session_eta_seconds", "Time that moving a guest will take yet; absent while it can't be told.", sessionLabels...)
	stalledMetric  = newMetric("session_stalled", "1 if a guest changes its memory as fast as it gets through, so that its migration makes no progress.", sessionLabels...)
	downtimeMetric = newMetric("session_expected_downtime_seconds", "Time that a guest would stand still if it were stopped for what was left when QEMU looked last, by QEMU's estimate; absent where that is not known.", sessionLabels...)
	progressMetric = []*prometheus.Desc{phaseMetric, rateMetric, ratioMetric, leftMetric, dirtyMetric, passesMetric, etaMetric, stalledMetric, downtimeMetric}
)

// sessionLabel is how many digits of a session's ID its label has.
const sessionLabel = 8

// collectProgress tells of each live session what status shows of it.
func (m metrics) collectProgress(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	type labels struct{ session, direction, work string }
	told := make(map[labels]bool)
	live, _, _ := m.d.Sessions.Status()
	for _, s := range live {
		work := session.WorkLabel(s)
		l := labels{stream.Printable(s.ID[:min(sessionLabel, len(s.ID))]), s.Direction, work}
		if told[l] {
			continue // two series of the same labels would end the scrape, and peers choose IDs
		}
		told[l] = true
		if s.Phase != "" {
			gauge(phaseMetric, 1, l.session, l.direction, l.work, s.Phase)
		}
		set := func(d *prometheus.Desc, v float64) { gauge(d, v, l.session, l.direction, l.work) }
		set(rateMetric, float64(s.Rate))
		p := s.Progress
		if p == nil || p.Total == 0 { // libvirt has no figures, or its sluice tells none
			continue
		}
		set(ratioMetric, p.Percent/100)
		set(leftMetric, float64(p.Remaining))
		set(dirtyMetric, float64(p.DirtyRate))
		set(passesMetric, float64(p.Iteration))
		set(stalledMetric, flag(p.Stalled != ""))
		if p.Downtime > 0 {
			set(downtimeMetric, p.Downtime.Seconds())
		}
		if p.ETA > 0 || p.Phase == control.PhaseFinish || p.Phase == control.PhaseConfirm {
			set(etaMetric, p.ETA.Seconds())
		}
	}
}
