package arrival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Migration is a migration's destination: what libvirt and QEMU hold here for a session.
type Migration struct {
	arrivals *Arrivals
	info     stream.Info
	entry    *session.Entry
	log      zerolog.Logger
	uuid     libvirt.UUID
	virt     *virt.Conn
	dir      rundir.SessionDir

	// One call at a time; the fields below are theirs, and End's after them.
	mu       sync.Mutex
	steps    Steps // once prepared
	flags    libvirt.DomainMigrateFlags
	session  *stream.Session
	arrived  chan struct{} // closed once a memory channel has connected
	arriving sync.Once
	looks    sync.WaitGroup
	taking   atomic.Bool // libvirt is taking the guest over
	life     *Guest      // nil before Prepare
	made     *madeDisks  // nil where none were, and once it is settled whose they are
	settled  bool        // libvirt holds the guest as its own, or not at all
}

// open makes what the session needs before its first call.
func (in *Migration) open(ctx context.Context) error {
	var err error
	if in.uuid, err = virt.ParseUUID(in.info.UUID); err != nil {
		return err
	}
	if in.virt, err = in.arrivals.Libvirt.Connect(ctx); err != nil {
		return err
	}
	if in.dir, err = in.arrivals.Dir.MakeSession(in.info.ID, in.arrivals.QEMUUID); err != nil {
		in.virt.Close()
	}
	return err
}

// start watches libvirt for the session's length.
func (in *Migration) start(s *stream.Session) {
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
func (in *Migration) Connect(ctx context.Context, kind string, _ int) (net.Conn, error) {
	switch kind {
	case stream.ChannelMemory:
		c, err := in.arrivals.ConnectQEMU(ctx, in.dir, kind, in.uuid)
		if err != nil {
			return nil, err // not c: an interface would hold its nil
		}
		in.arriving.Do(func() { close(in.arrived) })
		return c, nil
	case stream.ChannelDisk:
		return orNil(in.arrivals.ConnectQEMU(ctx, in.dir, kind, in.uuid))
	}
	return nil, fmt.Errorf("a migration has no %s channels", kind)
}

// LocalGone fails the session if QEMU has died.
func (in *Migration) LocalGone(cause *stream.Cause) {
	in.looks.Go(func() { in.arrivals.Libvirt.FailIfQEMUEnded(in.session, in.uuid, cause) })
}

// Call runs libvirt's half of the migration on this host.
func (in *Migration) Call(ctx context.Context, name string, body []byte) (any, error) {
	if name == host.CallProgress { // also while another is under way
		return nil, host.TakeProgress(in.entry, body)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch name {
	case CallPrepare, CallPrepareWith, CallPrepareDisks:
		var call PrepareCall
		if err := msgpack.Unmarshal(body, &call); err != nil {
			return nil, fmt.Errorf("read the call %s: %w", name, err)
		}
		return in.prepare(ctx, &call)
	case CallPostcopy:
		return nil, nil // libvirt says when it has happened
	case CallFinish:
		var call FinishCall
		if err := msgpack.Unmarshal(body, &call); err != nil {
			return nil, fmt.Errorf("read the call %s: %w", name, err)
		}
		return in.finish(ctx, &call)
	}
	return nil, fmt.Errorf("a migration has no call %.20q", name)
}

func (in *Migration) prepare(ctx context.Context, call *PrepareCall) (any, error) {
	if in.life != nil {
		return nil, errors.New("the guest is prepared already")
	}
	in.flags = libvirt.DomainMigrateFlags(call.Flags)
	if odd := in.flags &^ migrationFlags; odd != 0 {
		return nil, fmt.Errorf("migration flags 0x%x are not carried by sluice", uint32(odd))
	}
	if err := call.Values.Check(); err != nil { // also of a newer sluice, for what is not known here
		return nil, err
	}
	values := call.Values.Shared() // no others reach libvirt
	if err := in.arrivals.CheckChannels(transfer.ChannelsOf(in.flags, call.Parallel, len(values.Lists[control.OptionDisks]), call.XML)); err != nil {
		return nil, err
	}
	in.entry.SetPhase(control.PhasePrepare)
	in.entry.AskedBy(in.entry.Asker(), transfer.Flags(in.flags))
	ctx, cancel := context.WithTimeoutCause(ctx, in.arrivals.Config.Limits.PrepareTimeout, fmt.Errorf(
		"QEMU was not started within %v (limits.prepare_timeout)", in.arrivals.Config.Limits.PrepareTimeout))
	defer cancel()
	if err := KnowsValues(ctx, in.virt, in.arrivals.Config.Name, values); err != nil {
		return nil, err
	}
	if err := in.arrivals.Libvirt.CheckFaults(ctx, in.flags, call.XML); err != nil {
		return nil, err
	}
	if err := in.checkGuest(ctx, call); err != nil {
		return nil, err
	}
	images, err := in.wanted(ctx, call)
	if err != nil {
		return nil, err
	}
	life, err := in.arrivals.Claim(ctx, Bringer{in.info.Peer, in.info.ID}, in.uuid, call.Name, in.flags)
	if err != nil {
		return nil, err
	}
	in.steps = Steps{
		Virt: in.virt, UUID: in.uuid, Calls: in.arrivals.Peers.Get(in.info.Peer).Calls,
		Flags: in.flags &^ SourceOnlyFlags, Params: Params(call.Name, At(in.dir), call.Bandwidth, call.Parallel, values),
	}
	var reply PrepareReply
	if reply.Made, err = in.makeDisks(ctx, call.Name, images); err != nil {
		life.End(NeverRan)
		return nil, err
	}
	if reply.Cookie, _, err = in.steps.Prepare(ctx, call.XML, call.Cookie); err != nil {
		life.End(NeverRan)
		in.settleDisks(NeverRan)
		return nil, in.cause("preparing the guest", err)
	}
	in.life = life
	if !life.mayPostcopy() { // in post-copy the guest may be here, and goes on without its libvirt
		in.virt.WatchDriver(ctx) // without success Finish finds out
	}
	if err := life.Prepared(ctx); err != nil {
		return nil, &stream.Cause{Code: stream.CodeLibvirt, Host: in.arrivals.Config.Name, Text: err.Error()}
	}
	if in.made != nil {
		in.made.ID = life.ID()
		if err := in.arrivals.disks.note(in.made); err != nil {
			return nil, fmt.Errorf("note for whom disks were made: %w", err)
		}
	}
	in.looks.Go(func() { life.AwaitPostcopy(in.session.Context(), in.switched) })
	if !in.offline() {
		in.entry.SetPhase(control.PhaseMemory)
	}
	in.log.Info().Msg("guest prepared")
	return &reply, nil
}

// switched to post-copy: no limit may cut the session off any more.
func (in *Migration) switched() {
	in.session.Unbound()
	in.entry.SetPhase(control.PhasePost)
	in.entry.Decided("switched to post-copy: no limit of time, bytes or bandwidth holds any more")
}

// checkGuest makes sure that the guest described is the one the session is
// for, and that it is not here.
func (in *Migration) checkGuest(ctx context.Context, call *PrepareCall) error {
	if len(call.Cookie) == 0 {
		return libvirtrpc.ErrNoCookie
	}
	dom, err := domainxml.Read(call.XML)
	if err != nil {
		return err
	}
	if uuid, err := virt.ParseUUID(dom.UUID); err != nil || uuid != in.uuid {
		return fmt.Errorf("the guest's description is of %.64q, the session of %s", dom.UUID, in.info.UUID)
	}
	descriptions := []string{call.XML}
	if call.PersistentXML != "" {
		descriptions = append(descriptions, call.PersistentXML)
	}
	if err := in.arrivals.AcceptGuest(ctx, in.info.Peer, call.Cookie, descriptions...); err != nil {
		return err
	}
	state, err := in.virt.State(ctx, in.uuid)
	switch resume := in.flags&libvirt.MigratePostcopyResume != 0; {
	case err != nil:
		return in.cause("looking for the guest", err)
	case resume && !state.InPostcopy():
		return fmt.Errorf("guest %s (%s) is %v on %s: there is no post-copy to resume", call.Name, in.info.UUID, state, in.arrivals.Config.Name)
	case !resume && !state.Absent:
		return fmt.Errorf("guest %s (%s) is already on %s, %v", call.Name, in.info.UUID, in.arrivals.Config.Name, state)
	}
	return nil
}

func (in *Migration) finish(ctx context.Context, call *FinishCall) (any, error) {
	if in.life == nil || in.settled {
		return nil, errors.New("there is no guest to finish")
	}
	if !call.Cancelled {
		if !in.offline() && !in.hasMemory(ctx) {
			// libvirt would wait for it, and hold us with no way to end that.
			return nil, errors.New("no memory connection has arrived, so there is nothing to finish")
		}
		if in.life.Asked() { // an error would be taken for "not moved"
			return &FinishReply{Undecided: fmt.Sprintf("guest %s is being taken over already", in.info.Guest)}, nil
		}
		if err := in.stillHere(); err != nil {
			return nil, err
		}
		if err := in.life.Finishing(); err != nil {
			return nil, err
		}
		in.entry.SetPhase(control.PhaseFinish)
	}
	// From here on the outcome is decided by libvirt: a session that ends
	// meanwhile does not interrupt it, and the source asks what became of it.
	ctx = context.WithoutCancel(ctx)
	limit := in.arrivals.Config.Limits.FinishTimeout
	ctx, cancel := in.life.Bounded(ctx, limit, fmt.Errorf("libvirt did not answer within %v (limits.finish_timeout)", limit))
	defer cancel()
	in.taking.Store(true)
	defer in.taking.Store(false)
	if in.flags&libvirt.MigratePostcopyResume != 0 && !call.Cancelled {
		in.arrivals.AwaitResumed(ctx, in.uuid)
	}
	call.Cookie = in.arrivals.FinishCookie(in.info.Peer, call.Cookie, in.log)
	reply, err := in.steps.Finish(ctx, call)
	if call.Cancelled && err == nil {
		in.settled = true
		in.life.End(NeverRan)
		in.settleDisks(in.life.Verdict())
		return reply, nil
	}
	looking, stop := context.WithTimeout(context.Background(), in.arrivals.Config.Limits.GiveUpTimeout)
	defer stop()
	v, words := in.life.Finished(looking, err)
	switch v {
	case Undecided:
		return &FinishReply{Undecided: words}, nil
	case NeverRan:
		in.settled = true
		in.life.End(NeverRan)
		in.settleDisks(NeverRan)
		ended := *in.cause("taking the guest over", err)
		ended.Text += in.arrivals.Libvirt.QEMUEnded(in.life.Name)
		return nil, &ended
	}
	if err != nil {
		in.log.Warn().Err(err).Msg("libvirt says that it failed, and the guest runs")
	}
	in.settled = true
	in.life.End(Ran)
	in.settleDisks(Ran)
	if in.offline() {
		in.log.Info().Msg("guest is defined here")
		return reply, nil
	}
	in.log.Info().Msg("guest runs here")
	reply.Downtime = in.downtime()
	in.entry.Downtime(time.Duration(reply.Downtime))
	return reply, nil
}

// stillHere fails once libvirt here has lost the guest (see Guest.Watch): Finish is not asked for, and
// its source takes it back, where nobody could tell after a Finish that failed. In post-copy the guest
// may be here, and goes on without its libvirt: it is asked for as ever.
func (in *Migration) stillHere() error {
	if in.life.mayPostcopy() {
		return nil
	}
	select {
	case <-in.virt.Gone():
	default:
		return nil
	}
	if err := in.life.CallingOff(); err != nil {
		return err
	}
	return &stream.Cause{Code: stream.CodeLibvirt, Host: in.arrivals.Config.Name, Text: virt.ErrGone.Error()}
}

// offline says whether the guest's definition comes alone, without memory.
func (in *Migration) offline() bool { return in.flags&libvirt.MigrateOffline != 0 }

// hasMemory says whether a memory channel has connected. At the source a
// post-copy is resumed, as libvirt sees it, as soon as QEMU there is connected
// to sluice: the channel for it, which takes a handshake, is then still to come.
func (in *Migration) hasMemory(ctx context.Context) bool {
	if in.flags&libvirt.MigratePostcopyResume != 0 {
		ctx, cancel := context.WithTimeout(ctx, in.arrivals.Config.Limits.HandshakeTimeout)
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
// daemon stops. In post-copy that could last for any time, and libvirt keeps the guest.
func (in *Migration) Finishing() bool { return in.taking.Load() && !in.life.InPostcopy() }

// downtime is in nanoseconds, 0 if libvirt does not say.
func (in *Migration) downtime() int64 {
	ctx, cancel := context.WithTimeout(context.Background(), in.arrivals.Config.Limits.GiveUpTimeout)
	defer cancel()
	return in.steps.Downtime(ctx)
}

// End gives up what was not finished. A guest that libvirt has been asked to
// take over is libvirt's, whatever it answered.
func (in *Migration) End(cause *stream.Cause) {
	in.looks.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.life != nil && !in.settled && !in.life.Asked() && !in.life.InPostcopy() {
		ctx, cancel := context.WithTimeout(context.Background(), in.arrivals.Config.Limits.GiveUpTimeout)
		// Its error changes nothing: the end of the connection does the same.
		in.steps.Finish(ctx, &FinishCall{Cancelled: true})
		cancel()
	}
	in.virt.Close()
	in.dir.Remove(in.log)
	outcome, v := control.Failed, NeverRan
	if in.life != nil {
		in.life.End(Undecided)
		v = in.life.Verdict()
	}
	in.settleDisks(v)
	switch {
	case v == Ran:
		outcome = control.Moved
		in.entry.SetPhase(control.PhaseDone)
	case v == Undecided:
		outcome = control.Unknown
	case cause.Code == stream.CodeCancelled:
		outcome = control.Cancelled
	}
	in.arrivals.Sessions.EndLogged(in.entry, in.log, outcome, cause)
}

// makeDisks makes those of the images that are missing, and returns their paths.
func (in *Migration) makeDisks(ctx context.Context, name string, images []virt.Image) ([]string, error) {
	if len(images) == 0 {
		return nil, nil
	}
	m := &madeDisks{Peer: in.info.Peer, Session: in.info.ID, UUID: in.info.UUID, Guest: name, Postcopy: in.flags&libvirt.MigratePostcopy != 0}
	if err := in.arrivals.makeDisks(ctx, m, images, in.arrivals.Policy(ctx, in.info.Peer).CheckImage); err != nil || len(m.Disks) == 0 {
		return nil, err
	}
	in.made = m
	in.entry.MadeDisks(m.paths())
	in.log.Info().Strs("disks", m.paths()).Msg("disks made")
	return m.paths(), nil
}

// settleDisks settles whose the disks are that were made, by what became of the guest.
func (in *Migration) settleDisks(v Verdict) {
	if in.made == nil {
		return
	}
	in.arrivals.settleDisks(in.made, v)
	if in.made = nil; v == NeverRan {
		in.entry.MadeDisks(nil)
	}
}

func (in *Migration) cause(doing string, err error) *stream.Cause {
	return &stream.Cause{Code: stream.CodeLibvirt, Host: in.arrivals.Config.Name, Text: virt.Words(doing, err)}
}
