package departure

import "time"

// Intervals of looking again.
const (
	// watchInterval is between looks for libvirt's SIGTERM: nothing tells of a signal that is
	// pending for another process. Meanwhile libvirt looks whether QEMU has ended every 200 ms.
	watchInterval = time.Millisecond
	// idleInterval is between looks at what costs nothing: whether the caller or QEMU has gone.
	idleInterval = 100 * time.Millisecond
	// askInterval and lookInterval are between questions, to the destination and to libvirt here,
	// at first; each doubles up to leastOften when nothing changes.
	askInterval  = time.Second
	lookInterval = 100 * time.Millisecond
	leastOften   = 10 * time.Second
)

// turns are when a question may be asked again.
type turns struct {
	next  time.Time
	pause time.Duration
}

// take says whether it is time, and takes the turn then.
func (t *turns) take(first time.Duration) bool {
	now := time.Now()
	if now.Before(t.next) {
		return false
	}
	t.pause = min(max(2*t.pause, first), leastOften)
	t.next = now.Add(t.pause)
	return true
}

// resumeGrace is what libvirt has to resume a guest by itself, once it may.
const resumeGrace = 5 * time.Second

// stopGrace is what may still be done once the daemon stops. The next one goes on from there.
const stopGrace = 5 * time.Second

// run owns the state and carries out what it asks for.
func (d *Departure) run() {
	defer close(d.over)
	defer d.close()
	defer d.table.remove(d)
	defer d.openAnswer()
	stopping := d.table.ctx.Done()
	var stopped <-chan time.Time
	for {
		action := d.state.Next()
		if action == Done {
			d.done()
			return
		}
		if action == Ask && !d.asks.take(askInterval) || action == LookAtGuest && !d.looks.take(lookInterval) {
			action = Wait
		}
		if !d.act(action) {
			continue
		}
		next := idleInterval
		if d.state.Verdict == Runs && (d.state.Fenced || d.state.Taken) && !d.state.Ended && d.state.Caller == Told {
			next = watchInterval
		}
		timer := time.NewTimer(next)
		select {
		case f := <-d.events:
			f()
		case <-timer.C:
		case <-stopping:
			stopping = nil
			t := time.NewTimer(stopGrace)
			defer t.Stop()
			stopped = t.C
		case <-stopped:
			timer.Stop()
			if d.state.Caller == Waiting { // it still gets its answer, by whoever keeps its connection
				stopped = time.After(stopGrace)
				continue
			}
			d.leave()
			return
		}
		timer.Stop()
		d.observe()
		if stopping == nil && d.state.Verdict == Unknown && d.state.Caller != Waiting {
			d.leave()
			return
		}
	}
}

// observe notes what can be seen without asking anyone.
func (d *Departure) observe() {
	// Without a fence QEMU's end tells nothing before it is certain that the guest runs elsewhere.
	if d.proc != nil && !d.state.Ended && (d.state.Fenced || d.state.Verdict == Runs) {
		d.state.Ended = d.proc.Ended(0)
		d.state.Terminating = d.state.Fenced && !d.state.Ended && d.proc.Terminating()
	}
	if d.wrote && d.move.Taken != nil && d.state.Verdict == Runs && !d.state.Taken {
		d.state.Taken = d.move.Taken()
	}
	d.watchCaller()
	if !d.until.IsZero() && time.Now().After(d.until) {
		d.until = time.Time{}
		if d.state.Verdict == Unknown && !d.state.Lost {
			if d.move.Lose != nil {
				d.move.Lose()
			}
			d.lose()
			return
		}
		d.state.Late = true
	}
	if d.state.Verdict != Unknown || !d.state.Fenced {
		d.state.Guest = NotSeen // to be looked at again, when it is time
	}
}

// atOnce is how soon after its connection's end a caller's process must have ended to show that it
// was killed. libvirt bears 28 seconds without an answer to its pings before it closes a
// connection.
const atOnce = time.Second

// watchCaller notes the end of the caller's connection. If the connection was open a moment ago,
// and the caller's process has ended with it, then it was killed as it waited: it can't have had
// libvirt here resume the guest, and nobody else does.
func (d *Departure) watchCaller() {
	if d.move.HungUp != nil && d.state.Caller != Gone {
		if !d.move.HungUp() {
			d.open = time.Now()
			return
		}
		if d.state.Caller == Waiting && time.Since(d.open) < atOnce {
			d.closed = time.Now()
		}
		d.callerGone()
	}
	if d.state.Fenced && d.state.Verdict == Unknown && d.move.Ended != nil && time.Since(d.closed) < atOnce && d.move.Ended() {
		d.state.Quiet = true
	}
}

// lose notes that Finish's answer won't come: the destination has some more time to say what became
// of the guest.
func (d *Departure) lose() {
	if d.state.Lost || d.state.Verdict != Unknown {
		return
	}
	d.state.Lost = true
	d.until = d.rec.Since.Add(d.limits.Finish + d.limits.GiveUp)
	if least := time.Now().Add(d.limits.GiveUp); d.until.Before(least) {
		d.until = least
	}
	d.note("the answer to Finish was lost")
	d.log.Warn().Bool("fenced", d.state.Fenced).Msg("the answer to Finish was lost; asking what became of the guest")
}

// decide notes what is certain. What is certain does not change.
func (d *Departure) decide(v Verdict, how string) {
	if d.state.Verdict != Unknown || v == Unknown {
		return
	}
	d.state.Verdict, d.rec.Verdict = v, v
	d.state.Late, d.looks = false, turns{}
	grace := d.limits.GiveUp
	if v == Absent {
		grace = resumeGrace
	}
	d.until = time.Now().Add(grace)
	d.state.Guest = NotSeen
	if d.kept {
		if err := d.keep(); err != nil {
			d.log.Error().Err(err).Msg("the file of a guest that leaves")
		}
	}
	d.note(how)
}

func (d *Departure) openAnswer() {
	select {
	case <-d.answered:
	default:
		close(d.answered)
	}
}

// done tells how it ended, and leaves nothing behind.
func (d *Departure) done() {
	d.forget()
	if v := d.state.Verdict; v != Unknown && d.table.Settled != nil {
		d.table.Settled(d.rec.Session, d.rec.Peer, v)
	}
	switch {
	case d.state.Verdict == Runs && d.state.Guest == Running && !d.state.Ended:
		d.log.Error().Msg("the guest runs at the destination, and somebody has resumed it here too: end it here at once")
	case d.state.Verdict == Runs:
		d.log.Info().Msg("the guest runs at the destination, and is gone from here")
	case d.state.Verdict == Absent && d.state.Ended:
		d.log.Warn().Msg("the guest is not at the destination, and its QEMU here has ended")
	case d.state.Verdict == Absent:
		d.log.Info().Msg("the guest stays here")
	case d.state.Ended:
		d.log.Warn().Msg("the guest's QEMU here has ended before anybody could tell whether the guest runs at the destination")
	default:
		d.log.Error().Msg("libvirt here did not wait for anybody to tell what became of the guest: look at both hosts, it may run on both")
	}
}

// leave is the end of the daemon's part: the next one goes on with the journal.
func (d *Departure) leave() {
	d.log.Warn().Bool("fenced", d.state.Fenced).Msg("the daemon stops before it is settled what becomes of the guest; the next one goes on")
}
