package arrival

import (
	"context"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// GiveUp has libvirt end the QEMU that it has prepared, whose Prepare its caller will take for
// failed.
func (g *Guest) GiveUp(ctx context.Context) error {
	v, err := g.arrivals.Libvirt.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	steps := Steps{Virt: v, UUID: g.UUID, Flags: g.flags &^ SourceOnlyFlags, Params: []libvirt.TypedParam{ParamString(libvirt.MigrateParamDestName, g.Name)}}
	_, err = steps.Finish(ctx, &FinishCall{Cancelled: true})
	return err
}

// GivenUp waits until libvirt here has the guest as its own, or not at all, once the session of its
// data is over, and sees to it that it comes to that: its client gives it up when its data no
// longer flows; if it does not, cut ends its connection, and libvirtd destroys the guest with it.
// Once libvirt has been asked to take the guest over, it is libvirt's to decide, and its answer
// must come through. In post-copy the guest may run here, and stays.
func (g *Guest) GivenUp(cut func(error), cause *stream.Cause) Verdict {
	patience := time.NewTimer(g.arrivals.Config.Limits.GiveUpTimeout)
	defer patience.Stop()
	select {
	case <-g.done:
		return g.orWhole(g.Verdict(), cause)
	default:
	}
	if g.InPostcopy() {
		return g.orWhole(Undecided, cause)
	}
	select {
	case <-g.done:
		return g.orWhole(g.Verdict(), cause)
	case <-patience.C:
	}
	if g.InPostcopy() {
		return g.orWhole(Undecided, cause)
	}
	if !g.Asked() {
		cut(fmt.Errorf("the migration of guest %s failed (%w), and its source does not give it up", g.Name, cause))
		g.arrivals.Work.Go(g.sweep)
	}
	<-g.done
	return g.Verdict()
}

// orWhole is v, unless the source is done with a guest that has become whole here: whoever waits for
// the answer to Finish has lost it, or is yet to hear it.
func (g *Guest) orWhole(v Verdict, cause *stream.Cause) Verdict {
	if v == Undecided && cause.Done() && g.whole() {
		return Ran
	}
	return v
}

// sweep ends the QEMU of a guest that nobody has asked for and that never ran, if libvirt does not.
// QEMU 7.2 hangs for ever, its monitor too, when some of the connections of --parallel break while
// it waits for all of them (multifd_recv_sync_main waits for threads that have ended). libvirtd then
// waits for the monitor's answer before it ends QEMU.
func (g *Guest) sweep() {
	g.mu.Lock()
	none := g.asked || g.pid == 0 || g.mayPostcopy()
	g.calledOff = g.calledOff || !none // nobody can ask for it any more
	g.mu.Unlock()
	if none {
		return
	}
	p, err := virt.ReopenQEMU(g.pid, g.started, g.UUID, g.arrivals.QEMUUID)
	if err != nil {
		return // it has ended
	}
	defer p.Close()
	for deadline := time.Now().Add(g.arrivals.Config.Limits.GiveUpTimeout); time.Now().Before(deadline); {
		if p.Ended(time.Until(deadline)) { // earlier, if a signal comes
			return
		}
	}
	log := g.arrivals.Log.With().Str("guest", g.Name).Int("pid", p.PID).Logger()
	if err := p.Kill(); err != nil {
		log.Error().Err(err).Msg("QEMU of a guest that never ran here hangs, and can't be ended: end it (kill -9), or libvirt waits for it")
		return
	}
	log.Warn().Msg("QEMU of a guest that never ran here did not end, and was killed")
}
