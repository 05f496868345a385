package departure

// source is what libvirt, its client and QEMU do at the source.
func (w world) source(add func(string, func(*world))) {
	if w.mover == client {
		w.clientMoves(add)
	} else if w.libvirt.up {
		w.libvirtMoves(add)
	}
	if w.libvirt.up {
		w.libvirtGoesOn(add)
	}
	w.qemuGoesOn(add)
	if w.destroys && w.libvirt.up && w.libvirt.word != NotHere && !w.qemu.ended {
		add("its user destroys it", func(w *world) { w.destroys, w.destroyed, w.qemu.term = false, true, true })
	}
	if w.destroyed && w.libvirt.up && w.qemu.term {
		add("libvirtd kills QEMU", func(w *world) { w.qemu.ended, w.qemu.runs = true, false })
	}
}

// keepaliveFails says whether the caller may miss answers to its pings. For safety's sake that may be
// at whatever moment after any fault, though sluice answers them as long as it runs.
func (w world) keepaliveFails() bool { return w.struck && !w.silent || w.sluice == frozen }

func (w *world) giveUp() { w.caller.giving, w.caller.gaveUp = true, true }

// libvirtMoves is libvirtd as it waits for Finish: in a peer-to-peer migration, or for the Confirm of
// sluice itself.
func (w world) libvirtMoves(add func(string, func(*world))) {
	waits := w.libvirt.step == inFinish
	if waits && w.caller.open && w.keepaliveFails() {
		add("libvirtd gives the connection up", (*world).giveUp)
	}
	if waits && w.mover == ownSluice && !w.caller.open {
		add("libvirtd forgets the migration", func(w *world) { w.libvirt.step = idle })
	}
	if waits && w.mover == libvirtd && (w.caller.giving || !w.caller.open) {
		add("libvirtd has lost the answer", (*world).cancelled)
	}
	if w.caller.giving { // maybe by way of its event loop
		add("libvirtd closes", func(w *world) { w.caller.giving, w.caller.open = false, false })
	}
	if waits && w.caller.open && !w.caller.giving && w.toCaller != none {
		add("libvirtd has its answer", func(w *world) {
			told := w.toCaller
			if w.toCaller = none; told == good {
				w.libvirt.step, w.read = answered, true
			} else {
				w.cancelled()
			}
		})
	}
}

// clientMoves is a client that runs libvirt's steps. It closes a connection that it has given up
// before its call ends, in the thread that waits for it (virNetClientIOEventLoop), and so before it
// asks for Confirm.
func (w world) clientMoves(add func(string, func(*world))) {
	c := w.caller
	if c.client == alive && c.told == none {
		if c.open && w.keepaliveFails() {
			add("the client gives the connection up", (*world).giveUp)
		}
		if c.giving {
			add("the client closes", func(w *world) { w.caller.giving, w.caller.open = false, false })
		}
		if !c.open {
			add("the client has lost the answer", func(w *world) { w.caller.told = bad })
		}
		if c.open && !c.giving && w.toCaller != none {
			add("the client has its answer", func(w *world) {
				w.caller.told, w.toCaller, w.read = w.toCaller, none, w.toCaller == good
			})
		}
	}
	if c.client == alive && c.told != none && w.libvirt.up {
		add("the client asks for Confirm", func(w *world) {
			w.caller.client = dead // it has nothing to do after that
			switch {
			case w.libvirt.step != inFinish: // libvirtd knows of no migration
			case c.told == good:
				w.libvirt.step, w.qemu.term = confirmed, true
			default:
				w.cancelled()
			}
		})
	}
	if c.client == dead {
		add("the client's connections close", func(w *world) {
			w.caller.open = false
			if w.libvirt.up && w.libvirt.step == inFinish {
				w.libvirt.step = clearing
			}
		})
	}
	if w.libvirt.step == clearing && (!w.qemu.stopped || w.qemu.ended || w.libvirt.stuck) { // half a minute later
		add("libvirtd forgets the migration", func(w *world) { w.libvirt.step = idle })
	}
}

// cancelled is libvirtd's Confirm for a migration that failed: it has QEMU go on, once it may ask it
// for anything.
func (w *world) cancelled() {
	w.libvirt.step = barred
	if !w.libvirt.stuck {
		w.libvirt.step, w.qemu.cont = resuming, true
	}
}

// libvirtGoesOn is libvirtd once it has been told.
func (w world) libvirtGoesOn(add func(string, func(*world))) {
	switch w.libvirt.step {
	case answered:
		add("libvirtd ends QEMU", func(w *world) { w.libvirt.step, w.qemu.term = confirmed, true })
	case barred:
		if w.libvirt.stuck {
			add("libvirtd can't resume it", func(w *world) { w.libvirt.step, w.caller.giving = idle, w.mover == libvirtd && w.caller.open })
		} else {
			add("libvirtd may ask QEMU again", (*world).cancelled)
		}
	case resumed:
		add("libvirtd has resumed it", func(w *world) {
			w.libvirt.step, w.libvirt.word = idle, Running
			if w.mover != client {
				w.caller.open = false
			}
		})
	}
	if w.libvirt.stuck && (!w.qemu.stopped || w.qemu.ended) {
		add("QEMU answers libvirtd", func(w *world) { w.libvirt.stuck = false })
	}
	if w.qemu.ended && (w.libvirt.word != NotHere || w.libvirt.step != idle) {
		add("libvirtd sees QEMU's end", func(w *world) {
			w.libvirt.word, w.libvirt.step, w.libvirt.stuck = NotHere, idle, false
			if w.mover != client {
				w.caller.open, w.caller.giving = false, false
			}
		})
	}
}

// qemuGoesOn is QEMU, unless it is stopped.
func (w world) qemuGoesOn(add func(string, func(*world))) {
	if w.qemu.ended || w.qemu.stopped {
		return
	}
	if w.qemu.cont {
		add("QEMU: cont", func(w *world) {
			w.qemu.cont, w.qemu.runs = false, true
			if w.libvirt.step == resuming {
				w.libvirt.step = resumed
			} else {
				w.libvirt.word = Running
			}
		})
	}
	if w.qemu.term {
		add("QEMU: SIGTERM", func(w *world) { w.qemu.ended, w.qemu.runs = true, false })
	}
}
