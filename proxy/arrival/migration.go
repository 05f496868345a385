package arrival

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
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

// offline says whether the guest's definition comes alone, without memory.
func (in *Migration) offline() bool { return in.flags&libvirt.MigrateOffline != 0 }

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
