package arrival

import "sync"

// Verdict is what this host knows of the guest of a session that is over.
type Verdict int

const (
	// Undecided: libvirt was asked to take the guest over, and its answer is not
	// known. Also
	// of sessions from before this daemon started.
	Undecided Verdict = iota
	// NeverRan: libvirt was never asked to take the guest over, or has said
	// that it did not.
	NeverRan
	// Ran: libvirt has said that it took the guest over.
	Ran
)

// keptVerdicts is how many sessions are remembered. A source asks within
// minutes.
const keptVerdicts = 1024

// verdicts of the last sessions that ended here. libvirt alone can't tell a
// guest that never ran here from one that ran and ended: the source would take
// back the one, but must not the other, whose disks have moved on.
type verdicts struct {
	mu   sync.Mutex
	of   map[string]Verdict // by peer and session
	past []string           // the same keys, oldest first
}

func (v *verdicts) set(peer, session string, what Verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of == nil {
		v.of = make(map[string]Verdict)
	}
	key := peer + " " + session
	v.of[key] = what
	v.past = append(v.past, key)
	if len(v.past) > keptVerdicts {
		delete(v.of, v.past[0])
		v.past = v.past[1:]
	}
}

func (v *verdicts) get(peer, session string) Verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of[peer+" "+session]
}
