package arrival

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

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
