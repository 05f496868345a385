package departure

// act does as a departure does.
func (w *world) act(a Action) {
	s := &w.s
	if !s.Asked && s.Verdict == Unknown && !w.journal {
		w.journal = true
		return
	}
	switch a {
	case SetFence:
		w.qemu.stopped, s.Fenced = true, true
	case LookAtCaller:
		if s.Looks++; !w.caller.open {
			s.Caller = Gone
		}
	case LookAtGuest:
		before := !s.Asked && s.Verdict == Unknown
		if before {
			s.Looks++
		}
		if !w.libvirt.up || w.libvirt.step == clearing {
			if before {
				s.Guest = NotHere
			}
			return
		}
		s.Guest = w.libvirt.word
		if w.caller.giving && w.mover != client { // its event loop has taken a turn
			w.caller.giving, w.caller.open = false, false
		}
	case Forward:
		w.finish, s.Asked, s.Guest = true, true, NotSeen
	case Refuse:
		w.decide(Absent)
	case Ask:
		w.parted, w.fromThere, s.Unoccupied = true, none, false
		if !w.link {
			return
		}
		if w.silent {
			return
		}
		w.finish = false // its session is over there: it won't be asked for any more
		switch {
		case w.there == finishing, w.there == unheard:
		case w.there == ran:
			w.decide(Runs)
		case w.remembers:
			w.decide(Absent)
		}
	case Report:
		s.Reported = true
	case Occupy:
		if w.libvirt.up && w.libvirt.step != clearing { // else it does not answer
			w.libvirt.stuck, s.Occupied = true, true
		} else {
			s.Unoccupied = true
		}
	case AnswerUnknown:
		s.Caller, w.toCaller = Told, bad
	case AnswerRuns:
		s.Caller, w.toCaller = Told, good
	case AnswerAbsent:
		s.Caller, w.toCaller = Told, bad
	case Lift:
		w.qemu.stopped, s.Fenced, s.Guest = false, false, NotSeen
	case Release:
		w.qemu.stopped, s.Fenced, s.HasQEMU, s.Guest = false, false, true, NotSeen
	case Kill:
		w.qemu.ended, w.qemu.runs, s.Ended, s.Guest = true, false, true, NotSeen
	case Remove:
		if w.libvirt.up && w.libvirt.step != clearing {
			w.qemu.ended, w.qemu.runs, w.libvirt.word = true, false, NotHere
		}
		s.Guest = NotSeen
	case Resume:
		if w.libvirt.up && w.libvirt.step != clearing && w.libvirt.word == Paused {
			w.qemu.cont = true
		}
		s.Guest = NotSeen
	case Clear:
		s.Cleared = true
	case Done:
		w.over, w.journal = true, false
	}
}

func (w *world) decide(v Verdict) {
	if w.s.Verdict == Unknown {
		w.s.Verdict, w.s.Late, w.s.Guest, w.kept = v, false, NotSeen, v
	}
}

// hear is what a departure takes note of.
func (w world) hear(add func(string, func(*world))) {
	if !w.s.Asked && w.s.Verdict == Unknown {
		return
	}
	if w.fromThere == good && w.link {
		add("sluice hears that it runs there", func(w *world) {
			w.fromThere = none
			w.decide(Runs)
			if w.s.Caller == Waiting {
				w.s.Caller, w.toCaller = Told, good
			}
		})
	}
	if w.fromThere == bad && w.link {
		add("sluice hears that it fails there", func(w *world) { w.fromThere, w.s.Lost = none, true })
	}
	if w.parted && !w.s.Lost {
		add("sluice sees that the way is broken", func(w *world) { w.s.Lost = true })
	}
	if !w.caller.open && w.s.Caller != Gone {
		add("sluice sees that the caller has gone", func(w *world) { w.s.Caller, w.s.Lost = Gone, true })
	}
	if w.quiet && w.s.Fenced && w.s.Verdict == Unknown && w.s.Caller == Gone {
		add("sluice sees that libvirt leaves it paused", func(w *world) { w.s.Quiet = true })
	}
	if w.read && w.caller.open && w.s.Verdict == Runs && !w.s.Taken {
		add("sluice sees that the caller has read its answer", func(w *world) { w.s.Taken = true })
	}
	if w.qemu.term && w.s.Fenced && !w.s.Ended {
		add("sluice sees SIGTERM", func(w *world) { w.s.Terminating = true })
	}
	if w.qemu.ended && !w.s.Ended {
		add("sluice sees QEMU's end", func(w *world) { w.s.Ended = true })
	}
	if w.s.Lost || w.s.Verdict != Unknown {
		add("time passes", func(w *world) { w.s.Late = true })
	}
	if w.s.Guest != NotSeen && (w.s.Verdict != Unknown || !w.s.Fenced) {
		add("sluice looks again", func(w *world) { w.s.Guest = NotSeen })
	}
	if w.s.Reported && w.s.Verdict == Unknown && !w.silent && !w.alone {
		add("an operator decides", func(w *world) {
			if w.there == ran {
				w.decide(Runs)
			} else if w.there != finishing && !w.finish {
				w.decide(Absent)
			}
		})
	}
}

// restart is another daemon, which goes on with the journal.
func (w *world) restart() {
	w.sluice = alive
	if w.over = !w.journal; w.over {
		return
	}
	w.s = State{Asked: true, Lost: true, Caller: Gone, Verdict: w.kept, Cleared: true, Ended: w.qemu.ended}
	w.s.Fenced = w.qemu.stopped && !w.qemu.ended
	w.s.NoFence = !w.s.Fenced
}
