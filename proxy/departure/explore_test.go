package departure

import (
	"fmt"
	"slices"
	"strings"
)

// broken says what is wrong in a world, if anything.
func (w world) broken() string {
	switch {
	case w.qemu.runs && w.there == ran:
		return "the guest runs on both hosts"
	case w.qemu.ended && w.there != ran && !w.destroyed:
		return "the guest is lost"
	}
	return ""
}

// settled says whether all is settled, and what is wrong where nothing more can happen, if anything.
func (w world) settled(last bool) (is bool, wrong string) {
	if !last {
		return false, ""
	}
	switch here, away := w.qemu.runs, w.there == ran; {
	case !w.begun && !here && w.there <= gone:
		return true, "" // libvirt was killed after Perform, and leaves it paused; sluice had no part in that
	case here == away && !w.destroyed:
		return false, "the guest runs nowhere"
	case away && !w.qemu.ended:
		return false, "its copy is left at the source"
	case !w.over, w.journal:
		return false, "the departure is not over"
	}
	return true, ""
}

// nobodyWaits says whether nobody waits for an answer that nobody has, and libvirtd does not hang.
func (w world) nobodyWaits(bool) (is bool, wrong string) {
	waits := w.mover == client && w.caller.client == alive && w.caller.open ||
		w.mover == libvirtd && w.libvirt.step == inFinish ||
		w.libvirt.step == resuming
	if w.died || w.caller.gaveUp { // then nobody was there to tell, or to keep libvirt from QEMU
		waits = false
	}
	return !waits && w.libvirt.step != clearing, ""
}

// explore looks at every world that can follow from the first: that nothing is wrong in it, and
// that it can still come to one that ends takes for an end. It returns how one comes about that is
// wrong. ends is told whether nothing more can happen.
func explore(first world, decide func(State) Action, ends func(w world, last bool) (is bool, wrong string)) (looked int, wrong string) {
	type from struct {
		world world
		by    string
	}
	came := map[world]from{first: {}}
	path := func(w world, what string) string {
		var lines []string
		for ; w != first; w = came[w].world {
			lines = append(lines, came[w].by)
		}
		slices.Reverse(lines)
		return strings.Join(append(lines, what), "\n  ")
	}
	before := make(map[world][]world)
	var good []world
	queue := []world{first}
	for i := 0; i < len(queue); i++ {
		w := queue[i]
		if what := w.broken(); what != "" {
			return len(came), path(w, what)
		}
		following := w.next(decide)
		is, what := ends(w, len(following) == 0)
		if what != "" {
			return len(came), path(w, fmt.Sprintf("%s, for good: %+v", what, w))
		}
		if is {
			good = append(good, w)
		}
		for by, n := range following {
			before[n] = append(before[n], w)
			if _, seen := came[n]; !seen {
				came[n] = from{w, by}
				queue = append(queue, n)
			}
		}
	}
	settles := make(map[world]bool)
	for len(good) > 0 {
		w := good[len(good)-1]
		good = good[:len(good)-1]
		if !settles[w] {
			settles[w] = true
			good = append(good, before[w]...)
		}
	}
	for _, w := range queue {
		if !settles[w] {
			return len(came), path(w, fmt.Sprintf("it never settles: %+v", w))
		}
	}
	return len(came), ""
}
