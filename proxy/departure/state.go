package departure

// Verdict is what is certain of the guest at its destination.
type Verdict string

const (
	Unknown Verdict = ""
	Runs    Verdict = "runs"   // there, or it has run there: it must not run here again
	Absent  Verdict = "absent" // it has not run there and never will
)

// Caller is whoever has asked for Finish: libvirt's client, or `sluice migrate`.
type Caller int

const (
	Waiting Caller = iota // for the answer
	Told                  // it has an answer, and lets go of the guest or takes it back
	Gone                  // its connection has ended
)

// Guest is what libvirt here says of the guest.
type Guest int

const (
	NotSeen    Guest = iota
	Paused           // for the migration: libvirt resumes it only if it is told to
	Held             // paused by somebody else, and to stay so
	Running          //
	NotHere          // it has no QEMU here
	InPostcopy       // a part of it is on each host, and post-copy has rules of its own
)

// State is all that decides about a guest that leaves. The zero value is that of one whose memory
// has been sent and whose Finish has not been asked for.
type State struct {
	Fenced  bool // QEMU here is stopped: it executes nothing, whoever sends it
	NoFence bool // none is set: QEMU here can't be stopped, or libvirt does not resume the guest by itself
	HasQEMU bool // none is set any more, but QEMU's process is known since before Finish: it may be ended once the guest runs elsewhere
	Looks   int  // done between the fence and Finish

	Asked   bool // Finish has been asked for
	Lost    bool // its answer won't come any more
	Verdict Verdict
	Caller  Caller
	Taken   bool  // the caller has read that the guest runs at the destination: libvirt here won't resume it
	Guest   Guest // at the last look
	Ended   bool  // QEMU here

	Quiet       bool // the caller was killed as it waited: nobody has had libvirt here resume the guest
	Terminating bool // libvirt has sent QEMU SIGTERM
	Late        bool // the time for what is awaited is over
	Reported    bool // that it is not known has been told
	Occupied    bool // libvirt here waits for the stopped QEMU, and sends it nothing before that answers
	Unoccupied  bool // libvirt here could not be brought to that, at the last try
	Cleared     bool // the definition here has been removed, if that was asked for
}

// Action is what is to be done next.
type Action int

const (
	Wait          Action = iota
	SetFence             // stop QEMU here
	LookAtCaller         // has its connection hung up?
	LookAtGuest          // what does libvirt here say?
	Forward              // ask for Finish
	Refuse               // let Finish not go on: the guest is absent there, which is certain
	Ask                  // the destination, what became of the guest
	Report               // that nobody can tell
	Occupy               // libvirt here with a question to the stopped QEMU
	AnswerUnknown        // to the caller: libvirt here then tries to resume the guest, and can't
	AnswerRuns           // to the caller
	AnswerAbsent         // to the caller
	Lift                 // let QEMU here run again
	Release              // let QEMU here answer libvirt, which is about to end it
	Kill                 // end QEMU here
	Remove               // have libvirt here let go of the guest
	Clear                // have libvirt here forget the guest's definition
	Resume               // have libvirt here resume the guest
	Done                 // nothing is left to decide
)

var actionNames = [...]string{"wait", "set the fence", "look at the caller", "look at the guest", "forward", "refuse", "ask", "report",
	"keep libvirt from QEMU", "answer that nobody can tell", "answer that it runs", "answer that it is absent", "lift the fence", "let QEMU answer", "kill", "remove", "clear", "resume", "done"}

func (a Action) String() string { return actionNames[a] }

// Next decides. It is all of the decision: who calls it only carries out what it says, and notes
// what came of that.
func (s State) Next() Action {
	switch {
	case s.Verdict == Runs:
		return s.gone()
	case s.Verdict == Absent:
		return s.stays()
	case s.Asked:
		return s.unknown()
	}
	return s.beforeFinish()
}

// beforeFinish makes sure that libvirt here has not resumed the guest, and cannot any more.
// libvirtd closes its connection before it resumes a guest for the loss of that connection. So one
// that is still open once the fence is set shows that nothing was executed before. It may close it
// by way of its event loop, which has taken a turn when it answers the question for the guest's
// state: hence a look before that and one after it.
func (s State) beforeFinish() Action {
	may := s.Caller != Gone && !s.Ended && (s.Guest == NotSeen || s.Guest == Paused || s.Guest == Held)
	switch {
	case !may:
		return Refuse
	case !s.Fenced && !s.NoFence:
		return SetFence
	case s.Looks == 0, s.Looks == 2:
		return LookAtCaller
	case s.Looks == 1:
		return LookAtGuest
	}
	return Forward
}

// gone ends the copy here of a guest that runs at the destination. libvirt's Confirm ends it by
// SIGTERM, once QEMU has answered what it was asked meanwhile, for a migration's figures, say. Both
// take a QEMU that is not stopped, and it need not be any more once the caller has read that the
// guest runs there: from then on libvirt does not resume it, and if the caller's connection ends
// before QEMU has, QEMU is ended at once. Where nobody can tell what the caller has read, QEMU is
// ended as soon as SIGTERM is sent. Nobody else may end it while libvirt is about to, or libvirt
// would take that for a crash.
func (s State) gone() Action {
	ours := s.Late || s.Caller == Gone || s.Occupied // libvirt does not do it by itself
	switch {
	case s.Caller == Waiting:
		return AnswerRuns
	case s.Fenced && !s.Ended && (s.Terminating || ours):
		return Kill
	case s.Fenced && !s.Ended && s.Taken:
		return Release
	case s.Fenced && !s.Ended:
		return Wait
	case s.HasQEMU && !s.Ended && (ours || s.Guest == Running):
		return Kill // libvirt has not let go of it, be it that it hangs, and may resume it when it is started again
	case s.Guest == NotSeen:
		return LookAtGuest
	case s.Guest == Running, s.Guest == InPostcopy:
		return Done // somebody has resumed or started it here
	case s.Guest != NotHere && ours:
		return Remove
	case s.Guest == NotHere && !s.Cleared && ours:
		return Clear
	case s.Guest != NotHere, !s.Cleared:
		return Wait
	}
	return Done
}

// stays lets a guest go on here that is not at the destination. libvirt resumes it as soon as the
// caller has the answer, or has gone; one that was restarted meanwhile does not.
func (s State) stays() Action {
	switch {
	case s.Fenced && !s.Ended:
		return Lift
	case s.Caller == Waiting:
		return AnswerAbsent
	case s.Ended:
		return Done
	case s.Guest == NotSeen:
		return LookAtGuest
	case s.Guest == Paused && s.Late:
		return Resume
	case s.Guest == Paused:
		return Wait
	}
	return Done
}

// unknown keeps the guest as it is until somebody can tell. The caller is not kept for ever: it is
// answered once libvirt here can't have QEMU resume the guest, whatever it makes of the answer.
func (s State) unknown() Action {
	alone := !s.Fenced && s.Caller == Gone // libvirt here does with it what it likes
	switch {
	case s.Ended:
		return Done // its user has ended it
	case s.Terminating && s.Fenced:
		return Kill // libvirt is asked to end it, and would in ten seconds
	case s.Fenced && s.Quiet:
		return Lift // libvirt here leaves the guest paused, and may hang as long as QEMU does not answer
	case alone && s.Guest == NotSeen:
		return LookAtGuest
	case alone && s.Guest != Paused && s.Guest != Held:
		return Done
	case s.Lost && s.Late && !s.Reported:
		return Report
	case s.Reported && s.Fenced && s.Caller == Waiting && s.Occupied:
		return AnswerUnknown
	case s.Reported && s.Fenced && s.Caller == Waiting && !s.Unoccupied:
		return Occupy
	case s.Lost:
		return Ask
	}
	return Wait
}
