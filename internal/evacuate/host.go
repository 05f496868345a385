package evacuate

// host is a destination, with what the guests of this evacuation take of it.
type host struct {
	name  string
	room  int              // migrations at once; 0: not known
	rate  float64          // bytes per second that get through to it; 0: not known
	kinds map[uint64]*kind // of memory, by the size of pages: 0 is the ordinary one

	guests int // that go there, or have gone
	moving int
	doubts int    // migrations that failed there, for which it is being found out whether it takes others still
	lost   string // why no guest goes there any more; empty: they do
}

// kind is one kind of memory, in bytes.
type kind struct {
	free  uint64 // the least that the host has told
	known bool
	taken uint64 // of it, by guests that go there
}

func newHost(name string) *host { return &host{name: name, kinds: make(map[uint64]*kind)} }

// heard notes what a plan for the host says of it. Plans that are made at the same time take places
// from each other, and memory that is free comes and goes.
func (h *host) heard(w *Way) {
	p := w.Plan
	h.room = max(h.room, p.Room)
	if e := p.Estimate; e != nil {
		h.rate = max(h.rate, float64(e.LinkRate))
	}
	m := p.Memory
	if m == nil {
		return
	}
	k := h.kinds[m.HugePage]
	if k == nil {
		k = &kind{}
		h.kinds[m.HugePage] = k
	}
	if m.Known {
		if !k.known || m.Free < k.free {
			k.free = m.Free
		}
		k.known = true
	}
}

// full is how much of the memory that is free the guests take that go there, with this one, as a part
// of 1: more is more than there is. Where the host has not told what is free, it is as good as full.
func (h *host) full(w *Way) float64 {
	m := w.Plan.Memory
	if m == nil {
		return 0
	}
	k := h.kinds[m.HugePage]
	switch {
	case !k.known:
		return 1
	case k.free == 0:
		return 2
	}
	return float64(k.taken+m.Needed) / float64(k.free)
}

// take and leave reserve the memory that a guest takes.
func (h *host) take(w *Way) {
	h.guests++
	if m := w.Plan.Memory; m != nil {
		h.kinds[m.HugePage].taken += m.Needed
	}
}

func (h *host) leave(w *Way) {
	h.guests--
	if m := w.Plan.Memory; m != nil {
		h.kinds[m.HugePage].taken -= m.Needed
	}
}

// left is what is free and not taken.
func (h *host) left(w *Way) uint64 {
	k := h.kinds[w.Plan.Memory.HugePage]
	return k.free - min(k.free, k.taken)
}

// mayBegin says whether another guest may go there now.
func (h *host) mayBegin() bool { return h.doubts == 0 && h.lost == "" && h.moving < max(1, h.room) }
