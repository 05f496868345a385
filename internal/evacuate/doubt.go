package evacuate

import (
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
)

// doubt finds out, after a migration to a host has not come to a good end, whether that takes guests
// still, and before that none goes there. A guest that has failed is then tried elsewhere, also one
// whose outcome is not known and that turns out to have stayed. result is nil for one that is
// settled. Once it is stopping no guest goes anywhere, and the host is not asked.
func (r *run) doubt(m *move, result *control.Result) {
	h := m.to
	h.doubts++
	stopping := r.stopping
	r.wait(func() func() {
		here, became := true, control.Unknown
		switch {
		case result == nil:
		case result.Outcome == control.Failed:
			is, err := r.Here(r.ctx, m.UUID)
			here = is || err != nil
		default:
			if is, err := r.Became(r.ctx, m.UUID, h.name, m.began); err == nil {
				became = is
			}
		}
		var lost error
		if !stopping {
			lost = r.Lost(r.ctx, h.name)
		}
		return func() {
			h.doubts--
			if lost != nil && h.lost == "" && !r.stopping { // else it may be that ctx has ended
				h.lost = lost.Error()
				r.Told(Event{Host: h.name, Lost: h.lost})
			}
			switch {
			case result == nil:
			case result.Outcome == control.Failed:
				r.elsewhere(m, result, here)
			case became == control.Moved:
				m.found(result, became, fmt.Sprintf("guest %s runs on %s, as was settled later: %s", m.Name, h.name, result.Cause))
				r.settle(m, h, result)
			case became == control.Failed:
				if m.asked {
					became = control.Cancelled
				}
				m.found(result, became, fmt.Sprintf("guest %s is still on %s: %s", m.Name, r.Source, result.Cause))
				r.elsewhere(m, result, true)
			default: // it may be there, and take its memory
				r.settle(m, h, result)
			}
			if h.lost != "" {
				r.abandon(h)
			}
		}
	})
}

// found is told what the last try came to, which was unknown.
func (m *move) found(result *control.Result, outcome, message string) {
	result.Outcome, result.Message = outcome, message
	last := &m.tries[len(m.tries)-1]
	last.Outcome, last.Message = outcome, message
}

// elsewhere has a guest whose migration has failed tried at its next destination.
func (r *run) elsewhere(m *move, failed *control.Result, here bool) {
	from := m.to
	m.leave()
	switch {
	case !here && failed.Session != "": // it has ended during its migration, and nobody may take that for a success
		r.settle(m, from, failed)
	case !here:
		gone := *failed
		gone.Outcome = Gone
		r.settle(m, from, &gone)
	case !r.stopping && r.place(m):
		m.state = waiting
		r.Told(Event{Guest: m.Name, UUID: m.UUID, To: from.name, Result: failed, Next: m.to.name})
	default:
		m.nowhere = !r.stopping
		r.settle(m, from, failed)
	}
}

// abandon gives those that wait for a host another.
func (r *run) abandon(h *host) {
	for _, m := range r.moves {
		if m.state != waiting || m.to != h {
			continue
		}
		m.leave()
		if !r.place(m) {
			r.staysAfterAll(m)
		}
	}
}

// staysAfterAll is the end of a guest that has no destination left.
func (r *run) staysAfterAll(m *move) {
	m.nowhere = true
	outcome, why := Stayed, []string{fmt.Sprintf("guest %s stays on %s", m.Name, r.Source)}
	if len(m.tries) > 0 {
		outcome = control.Failed
	}
	for _, reason := range r.reasons(m) {
		why = append(why, reason.String())
	}
	r.settle(m, nil, r.nothing(m, outcome, strings.Join(why, "; ")))
}
