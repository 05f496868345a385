package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// incoming is a migration's destination: what libvirt and QEMU hold here for a
// session.
type incoming struct {
	d     *Arrivals
	info  stream.Info
	entry *session.Entry
	log   zerolog.Logger
	uuid  libvirt.UUID
	virt  *virt.Conn
	dir   rundir.SessionDir

	// One call at a time; the fields below are theirs, and End's after them.
	mu       sync.Mutex
	steps    Steps // once prepared
	flags    libvirt.DomainMigrateFlags
	session  *stream.Session
	arrived  chan struct{} // closed once a memory channel has connected
	arriving sync.Once
	looks    sync.WaitGroup
	taking   atomic.Bool // libvirt is taking the guest over, within a bound
	prepared bool
	asked    bool // libvirt has been asked to take the guest over
	finished bool // libvirt holds the guest as its own, or not at all
	moved    bool
}

// open makes what the session needs before its first call.
func (in *incoming) open(ctx context.Context) error {
	var err error
	if in.uuid, err = virt.ParseUUID(in.info.UUID); err != nil {
		return err
	}
	if in.virt, err = in.d.Libvirt.Connect(ctx); err != nil {
		return err
	}
	if in.dir, err = in.d.Dir.MakeSession(in.info.ID, in.d.QEMUUID); err != nil {
		in.virt.Close()
	}
	return err
}

// start watches libvirt for the session's length.
func (in *incoming) start(s *stream.Session) {
	in.session = s
	in.entry.SetSession(s)
	go func() {
		select {
		case <-in.virt.Gone():
			s.Fail(&stream.Cause{Code: stream.CodeLibvirt, Text: virt.ErrGone.Error()})
		case <-s.Settled():
		}
	}()
}

// Connect connects to the socket that QEMU has made for this kind of channel.
func (in *incoming) Connect(_ context.Context, kind string, _ int) (net.Conn, error) {
	switch kind {
	case stream.ChannelMemory:
		c, err := in.dir.Connect(rundir.MemorySocket, in.d.QEMUUID)
		if err != nil {
			return nil, err // not c: an interface would hold its nil
		}
		in.arriving.Do(func() { close(in.arrived) })
		return c, nil
	case stream.ChannelDisk:
		return in.dir.Connect(rundir.DiskSocket, in.d.QEMUUID)
	}
	return nil, fmt.Errorf("a migration has no %s channels", kind)
}

// LocalGone fails the session if QEMU has died.
func (in *incoming) LocalGone(cause *stream.Cause) {
	in.looks.Go(func() { in.d.Libvirt.FailIfQEMUEnded(in.session, in.uuid, cause) })
}

// Call runs libvirt's half of the migration on this host.
func (in *incoming) Call(ctx context.Context, name string, body []byte) (any, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch name {
	case callPrepare:
		var call prepareCall
		if err := msgpack.Unmarshal(body, &call); err != nil {
			return nil, fmt.Errorf("read the call %s: %w", name, err)
		}
		return in.prepare(ctx, &call)
	case callPostcopy:
		in.session.Unbound()
		return nil, nil
	case callFinish:
		var call finishCall
		if err := msgpack.Unmarshal(body, &call); err != nil {
			return nil, fmt.Errorf("read the call %s: %w", name, err)
		}
		return in.finish(ctx, &call)
	}
	return nil, fmt.Errorf("a migration has no call %.20q", name)
}

func (in *incoming) prepare(ctx context.Context, call *prepareCall) (any, error) {
	if in.prepared {
		return nil, errors.New("the guest is prepared already")
	}
	in.flags = libvirt.DomainMigrateFlags(call.Flags)
	if odd := in.flags &^ migrationFlags; odd != 0 {
		return nil, fmt.Errorf("migration flags 0x%x are not carried by sluice", uint32(odd))
	}
	in.entry.SetPhase(control.PhasePrepare)
	ctx, cancel := context.WithTimeoutCause(ctx, in.d.Config.Limits.PrepareTimeout, fmt.Errorf(
		"QEMU was not started within %v (limits.prepare_timeout)", in.d.Config.Limits.PrepareTimeout))
	defer cancel()
	if err := in.checkGuest(ctx, call); err != nil {
		return nil, err
	}
	in.steps = Steps{Virt: in.virt, UUID: in.uuid, Flags: in.flags &^ sourceOnlyFlags, Params: Params(call.Name, At(in.dir), call.Bandwidth, call.Parallel)}
	var reply prepareReply
	var err error
	if reply.Cookie, _, err = in.steps.Prepare(ctx, call.XML, call.Cookie); err != nil {
		return nil, in.cause("preparing the guest", err)
	}
	in.prepared = true
	in.entry.SetPhase(control.PhaseMemory)
	in.log.Info().Msg("guest prepared")
	return &reply, nil
}

// checkGuest makes sure that the guest described is the one the session is
// for, and that it is not here.
func (in *incoming) checkGuest(ctx context.Context, call *prepareCall) error {
	dom, err := virt.Describe(call.XML)
	if err != nil {
		return err
	}
	if uuid, err := virt.ParseUUID(dom.UUID); err != nil || uuid != in.uuid {
		return fmt.Errorf("the guest's description is of %.64q, the session of %s", dom.UUID, in.info.UUID)
	}
	state, err := in.virt.State(ctx, in.uuid)
	switch resume := in.flags&libvirt.MigratePostcopyResume != 0; {
	case err != nil:
		return in.cause("looking for the guest", err)
	case resume && !state.InPostcopy():
		return fmt.Errorf("guest %s (%s) is %v on %s: there is no post-copy to resume", call.Name, in.info.UUID, state, in.d.Config.Name)
	case !resume && !state.Absent:
		return fmt.Errorf("guest %s (%s) is already on %s, %v", call.Name, in.info.UUID, in.d.Config.Name, state)
	}
	return nil
}

func (in *incoming) finish(ctx context.Context, call *finishCall) (any, error) {
	if !in.prepared || in.finished {
		return nil, errors.New("there is no guest to finish")
	}
	if !call.Cancelled {
		if !in.hasMemory(ctx) {
			// libvirt would wait for it, and hold us with no way to end that.
			return nil, errors.New("no memory of the guest has come, so there is nothing to finish")
		}
		in.asked = true
		in.entry.SetPhase(control.PhaseFinish)
	}
	// From here on the outcome is decided by libvirt: a session that ends
	// meanwhile does not interrupt it, and the source asks what became of it.
	ctx = context.WithoutCancel(ctx)
	limit := in.d.Config.Limits.FinishTimeout
	if !call.Postcopy || call.Cancelled {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("libvirt did not answer within %v (limits.finish_timeout)", limit))
		defer cancel()
		in.taking.Store(true)
		defer in.taking.Store(false)
	}
	if in.flags&libvirt.MigratePostcopyResume != 0 && !call.Cancelled {
		in.d.AwaitResumed(ctx, in.uuid)
	}
	reply, err := in.steps.Finish(ctx, call)
	if err != nil {
		return in.unfinished(err)
	}
	in.finished = true
	in.moved = !call.Cancelled
	if in.moved {
		in.log.Info().Msg("guest runs here")
		reply.Downtime = in.downtime()
	}
	return reply, nil
}

// hasMemory says whether a memory channel has connected. At the source a
// post-copy is resumed, as libvirt sees it, as soon as QEMU there is connected
// to sluice: the channel for it, which takes a handshake, is then still to come.
func (in *incoming) hasMemory(ctx context.Context) bool {
	if in.flags&libvirt.MigratePostcopyResume != 0 {
		ctx, cancel := context.WithTimeout(ctx, in.d.Config.Limits.HandshakeTimeout)
		defer cancel()
		select {
		case <-in.arrived:
		case <-ctx.Done():
		}
	}
	select {
	case <-in.arrived:
		return true
	default:
		return false
	}
}

// Finishing says whether the answer of a Finish is to be waited for before the
// daemon stops.
func (in *incoming) Finishing() bool { return in.taking.Load() }

// unfinished tells a Finish that libvirt has failed and undone from one of
// which no one can tell.
func (in *incoming) unfinished(failure error) (any, error) {
	cause := in.cause("taking the guest over", failure)
	ctx, cancel := context.WithTimeout(context.Background(), in.d.Config.Limits.GiveUpTimeout)
	defer cancel()
	state, err := in.d.Libvirt.State(ctx, in.uuid)
	if why := Undecided(cause, failure, state, err); why != "" {
		return &finishReply{Undecided: why}, nil
	}
	in.finished = true
	ended := *cause
	ended.Text += in.d.Libvirt.QEMUEnded(in.info.Guest)
	return nil, &ended
}

// downtime is in nanoseconds, 0 if libvirt does not say.
func (in *incoming) downtime() int64 {
	ctx, cancel := context.WithTimeout(context.Background(), in.d.Config.Limits.GiveUpTimeout)
	defer cancel()
	return in.steps.Downtime(ctx)
}

// End gives up what was not finished. A guest that libvirt has been asked to
// take over is libvirt's, whatever it answered.
func (in *incoming) End(cause *stream.Cause) {
	in.looks.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.prepared && !in.asked && !in.finished {
		ctx, cancel := context.WithTimeout(context.Background(), in.d.Config.Limits.GiveUpTimeout)
		// Its error changes nothing: the end of the connection does the same.
		in.steps.Finish(ctx, &finishCall{Cancelled: true})
		cancel()
	}
	in.virt.Close()
	in.dir.Remove(in.log)
	outcome, what := control.Failed, neverRan
	switch {
	case in.moved:
		outcome, what = control.Moved, ran
		in.entry.SetPhase(control.PhaseDone)
	case in.asked && !in.finished:
		outcome, what = control.Unknown, undecided
	case cause.Code == stream.CodeCancelled:
		outcome = control.Cancelled
	}
	in.d.verdicts.set(in.info.Peer, in.info.ID, what)
	in.d.Sessions.EndLogged(in.entry, in.log, outcome, cause)
}

func (in *incoming) cause(doing string, err error) *stream.Cause {
	return &stream.Cause{Code: stream.CodeLibvirt, Host: in.d.Config.Name, Text: virt.Words(doing, err)}
}
