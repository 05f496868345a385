package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// However long a session is, its samples are few, are from all of its time, and none is older than
// their interval.
func TestSamples(t *testing.T) {
	for _, length := range []time.Duration{0, time.Second, 119 * time.Second, 2 * time.Minute, 5 * time.Minute, 24 * time.Hour} {
		var line timeline
		for at := time.Duration(0); at <= length; at += tickInterval {
			late := time.Duration(at%7) * time.Millisecond // as tickers are
			line.sample(control.Progress{Elapsed: at + late, Carried: uint64(at), Rate: 1, Remaining: 2, DirtyRate: 3})
		}
		s := line.samples
		n := len(s.At)
		for name, m := range map[string]int{"carried": len(s.Carried), "rate": len(s.Rate), "remaining": len(s.Remaining), "dirty rate": len(s.DirtyRate)} {
			if m != n {
				t.Errorf("%v: %d times, and %d of %s", length, n, m, name)
			}
		}
		if n == 0 || n >= maxSamples || length > 10*time.Minute && n < maxSamples/2-1 {
			t.Errorf("%v: %d samples", length, n)
			continue
		}
		if s.At[0] > 10 {
			t.Errorf("%v: the first sample is of %d ms", length, s.At[0])
		}
		for i := 1; i < n; i++ {
			if gap := time.Duration(s.At[i]-s.At[i-1]) * time.Millisecond; gap <= 0 || gap > 2*line.every+20*time.Millisecond {
				t.Errorf("%v: %v between samples, where it is %v", length, gap, line.every)
			}
		}
		if last := time.Duration(s.At[n-1]) * time.Millisecond; length-last > line.every {
			t.Errorf("%v: the last sample is of %v", length, last)
		}
	}
}

// A peer that changes phases for ever, or a migration that decides much, fills no memory.
func TestTimelineIsBounded(t *testing.T) {
	var line timeline
	for i := range 1000 {
		line.enter(fmt.Sprint(i%2), time.Duration(i))
		line.note(control.NoteDecision, fmt.Sprint(i), time.Duration(i))
		line.note(control.NoteDecision, "the same", time.Duration(i))
	}
	if len(line.phases) != maxPhases || len(line.notes) != maxNotes {
		t.Errorf("%d phases, %d notes", len(line.phases), len(line.notes))
	}
}
