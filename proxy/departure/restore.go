package departure

import (
	"errors"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// restore goes on with a guest that an earlier daemon has left behind the fence. Whoever waited for
// an answer then has gone with it.
func (t *Table) restore(r *record, uuid libvirt.UUID) {
	d := t.newDeparture(Move{
		UUID: uuid, Session: r.Session, Peer: r.Peer, WithoutSluice: r.WithoutSluice, Undefine: r.Undefine,
		Log: t.Log.With().Str("session", r.Session).Str("peer", r.Peer).Str("guest", r.Guest).Logger(),
	})
	d.rec, d.kept = *r, true
	d.rec.Owner = t.Process
	d.state.Asked, d.state.Lost, d.state.Caller, d.state.Verdict = true, true, Gone, r.Verdict
	d.until = time.Now().Add(d.limits.GiveUp)
	var proc *virt.QEMUProcess
	var err error
	if r.PID != 0 {
		proc, err = virt.ReopenQEMU(r.PID, r.Started, uuid, t.QEMUUID)
	}
	if errors.Is(err, virt.ErrQEMUEnded) {
		d.state.Ended, err = true, nil
	} else if proc != nil {
		d.proc = proc
		// One that runs was never stopped, or somebody has continued it, who must know.
		d.state.Fenced, err = proc.Stopped()
	}
	d.state.NoFence = !d.state.Fenced
	if err != nil {
		d.log.Error().Err(err).Msg("the QEMU of a guest that an earlier sluice has stopped")
	}
	if err := t.add(d); err != nil { // there are no two files of a guest
		d.close()
		return
	}
	d.note("an earlier sluice has left it so")
	d.log.Warn().Bool("fenced", d.state.Fenced).Str("verdict", string(r.Verdict)).Msg("an earlier sluice has left a guest of which it was not settled what becomes of it")
	if err := d.keep(); err != nil { // by its owner's name
		d.log.Error().Err(err).Msg("the file of a guest that leaves")
	}
	t.work.Go(d.run)
}
