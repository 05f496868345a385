package evacuate

import (
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Usual is how long migrations away from here have taken for all but sending, by their history: the
// median of those that have moved a guest. 0: there are none.
func Usual(past []control.SessionRecord) time.Duration {
	var took []time.Duration
	for _, r := range past {
		if r.Direction != control.Outgoing || r.Outcome != control.Moved {
			continue
		}
		d, sent, ends := r.Ended.Sub(r.Started), false, r.Ended.Sub(r.Started)
		for _, p := range slices.Backward(r.Phases) {
			at := time.Duration(p.At) * time.Millisecond
			if sends(p.Phase) {
				d, sent = d-(ends-at), true
			}
			ends = at
		}
		if sent && d > 0 { // else it is one of a definition, or of a client that sluice only passes on
			took = append(took, d)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// sends says whether memory or disks are sent in a phase.
func sends(phase string) bool {
	switch phase {
	case control.PhaseDisks, control.PhaseMemory, control.PhasePost:
		return true
	}
	return false
}
