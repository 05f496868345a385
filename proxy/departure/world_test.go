package departure

// world is a guest between two hosts, with what can happen to either: libvirt and QEMU at the
// source as sluice finds them, the destination as it answers, and the departure's own State in
// between. All that it holds is compared, so that every world is looked at once.
type world struct {
	s State

	// The source.
	mover   mover
	sluice  process
	over    bool // the departure is
	begun   bool // it was, once
	journal bool
	kept    Verdict // in the journal
	qemu    struct{ ended, stopped, cont, term, runs bool }
	libvirt struct {
		up    bool
		word  Guest // what it says of the guest
		step  step
		stuck bool // a question of sluice's to the stopped QEMU keeps it from asking anything else
	}
	caller struct {
		open   bool // its connection with sluice
		giving bool // it has given that up, and is still to close it
		gaveUp bool // it has, by itself
		client process
		told   reply // what the client has Confirm say
	}
	toCaller reply // on its way from sluice
	read     bool  // the caller has read that it runs there

	// The destination, and the way there.
	link      bool
	finish    bool // asked for, and not there yet
	there     there
	fromThere reply
	remembers bool // its sluice knows what became of the guest

	noticed   bool // its sluice knows that its libvirt has lost the guest
	alone     bool // no operator decides
	silent    bool // nobody ever tells what became of the guest: no operator, and no link that comes back
	destroys  bool // the guest's user may destroy it
	destroyed bool
	faults    int // still to come
	struck    bool
	quiet     bool // the caller was killed before it had begun to have the guest resumed
	died      bool // the source's sluice has, once
	parted    bool // the way of Finish's answer is broken
}

type (
	mover   int
	process int
	step    int
	reply   int
	there   int
)

// Who moves the guest, and so waits for Finish.
const (
	libvirtd  mover = iota // peer to peer: libvirtd itself
	client                 // a client of libvirtd's: managed
	ownSluice              // sluice: libvirt resumes nothing without its Confirm
)

const (
	alive process = iota
	frozen
	dead
)

const (
	inFinish  step = iota // the migration has all been sent, and is to be confirmed
	barred                // it would send QEMU `cont`, and waits until it may: half a minute
	resuming              // it has sent QEMU `cont`
	resumed               // QEMU has said that it did
	answered              // it has read that the guest runs there, and is to end it here
	confirmed             // it has sent QEMU SIGTERM
	clearing              // its client has gone: it asks QEMU for something, and all its guests wait
	idle                  // it has done its part, or has been started again and knows of none
)

const (
	none reply = iota
	good
	bad
)

const (
	prepared  there = iota
	gone            // its libvirt has lost it before it was asked to run it
	finishing       // it is asked to
	unheard         // it was asked to, and had lost it: nobody can tell
	ran             // it runs there, or has
	failed
)

func begin(by mover, faults int) world {
	w := world{mover: by, link: true, remembers: true, faults: faults}
	w.libvirt.up, w.libvirt.word, w.caller.open = true, Paused, true
	w.s.Cleared, w.s.NoFence, w.s.HasQEMU = true, by == ownSluice, by == ownSluice
	return w
}

// next are all worlds that can follow, each with what has happened. decide is State.Next.
func (w world) next(decide func(State) Action) map[string]world {
	out := make(map[string]world)
	add := func(what string, change func(w *world)) {
		n := w
		change(&n)
		if n != w {
			out[what] = n
		}
	}
	if w.sluice == alive && !w.over {
		action := decide(w.s)
		add("sluice: "+action.String(), func(w *world) {
			w.begun = true
			w.act(action)
		})
		w.hear(add)
	}
	w.source(add)
	w.destination(add)
	w.strike(add)
	return out
}

// destination is what the other host does.
func (w world) destination(add func(string, func(*world))) {
	if w.finish && w.link && !w.parted {
		add("Finish arrives", func(w *world) {
			w.finish = false
			switch {
			case w.there != gone:
				w.there = finishing
			case w.noticed:
				w.there, w.fromThere = failed, bad
			default: // an error of libvirt's is no answer
				w.there, w.fromThere = unheard, bad
			}
		})
	}
	if w.there == gone {
		add("the destination's sluice notices", func(w *world) { w.noticed = true })
	}
	if w.there == finishing {
		add("it runs there", func(w *world) { w.there, w.fromThere = ran, good })
		add("it fails there", func(w *world) { w.there, w.fromThere = failed, bad })
	}
	if !w.link && !w.silent {
		add("the link is back", func(w *world) { w.link = true })
	}
}

// strike are the faults, and what mends by itself after one.
func (w world) strike(add func(string, func(*world))) {
	fault := func(what string, change func(w *world)) {
		if w.faults > 0 {
			add(what, func(w *world) {
				w.faults--
				w.struck = true
				change(w)
			})
		}
	}
	fault("the link breaks", func(w *world) { w.link, w.parted, w.fromThere = false, true, none })
	if w.sluice != dead {
		fault("the source's sluice is killed", func(w *world) {
			w.sluice, w.died, w.s, w.parted, w.fromThere, w.toCaller = dead, true, State{}, true, none, none
			w.caller.open = false
		})
	}
	if w.sluice == alive {
		fault("the source's sluice freezes", func(w *world) { w.sluice = frozen })
	}
	if w.sluice == frozen {
		add("the source's sluice wakes", func(w *world) { w.sluice = alive })
	}
	if w.sluice == dead {
		add("the source's sluice starts", (*world).restart)
	}
	if w.libvirt.up {
		fault("the source's libvirtd is killed", func(w *world) {
			w.libvirt.up, w.libvirt.stuck = false, false
			if w.mover != client {
				w.quiet = w.libvirt.step == inFinish
				w.caller.open, w.caller.giving = false, false
			}
			w.libvirt.step = idle
		})
	} else {
		add("libvirtd starts", func(w *world) { w.libvirt.up = true })
	}
	if w.mover == client && w.caller.client == alive {
		fault("the client is killed", func(w *world) {
			w.quiet = w.caller.open && w.libvirt.step == inFinish && w.caller.told == none
			w.caller.client, w.caller.open, w.caller.giving = dead, false, false
		})
	}
	if w.caller.open {
		fault("the caller's connection breaks", (*world).giveUp)
	}
	if w.there == prepared {
		fault("the destination's libvirt is killed", func(w *world) { w.there = gone })
	}
	fault("the destination's sluice is killed", func(w *world) {
		w.parted, w.fromThere, w.remembers, w.finish = true, none, w.there == ran, false
	})
}
