package main

import (
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// longSilence is when a daemon that owes a line every control.Heartbeat is worth a remark.
const longSilence = 5 * control.Heartbeat

// silence remarks that the daemon has not been heard of for long, once for each
// time that it falls silent. To end a migration over it is for the user: the
// host may merely be very busy, and leaving would abort what goes well.
type silence struct{ timer *time.Timer }

func newSilence(note func(string)) *silence {
	return &silence{time.AfterFunc(longSilence, func() {
		note(fmt.Sprintf("nothing from the daemon for %v; still waiting (Ctrl-C cancels)", longSilence))
	})}
}

func (s *silence) broken() { s.timer.Reset(longSilence) }
func (s *silence) stop()   { s.timer.Stop() }
