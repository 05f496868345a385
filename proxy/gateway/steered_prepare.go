package gateway

import (
	"context"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// paramSession is the parameter by which a Prepare names its session, from one
// sluice to the other. libvirt never sees it.
const paramSession = "sluice.session"

// prepare is what becomes of the client's Prepare: it goes on with the session's name, and comes
// back with where the session's listeners are, or has failed.
func (m *steeredSource) prepare(call *libvirtrpc.Prepare, failed func()) libvirtrpc.Outcome {
	call.Params = call.Params.With(paramSession, m.session.ID)
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if r.Err != nil {
			failed()
			m.hint(call, r.Err)
			m.fail(stream.CodeLibvirt, virt.Words("preparing the guest", r.Err))
			return
		}
		if err := m.point(r); err != nil {
			failed()
			m.fail(stream.CodeProtocol, err.Error())
			r.Err = libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
			return
		}
		m.entry.SetPhase(control.PhaseMemory)
	}}
}

// hint adds to the destination's refusal of a guest whose disks are missing there what they are here.
func (m *steeredSource) hint(call *libvirtrpc.Prepare, refusal *libvirtrpc.Error) {
	ctx, cancel := context.WithTimeout(m.session.Context(), m.gateway.Config.Limits.HandshakeTimeout)
	defer cancel()
	description, _, _ := call.Params.Text(libvirtrpc.ParamDestXML)
	incremental := m.transfer.Flags&libvirt.MigrateNonSharedInc != 0
	if make := m.gateway.Libvirt.MissingDisks(ctx, m.guest.id, description, nil, incremental, refusal.Message, m.session.Peer); make != "" {
		refusal.Message += "; " + make
	}
}

// point points the source's libvirt to the session's listeners.
func (m *steeredSource) point(r *libvirtrpc.Reply) error {
	if !m.transfer.Steered {
		return nil
	}
	return pointTo(r, m.listeners.uri, m.listeners.diskPort, m.log)
}

// pointTo puts into the reply to a Prepare where QEMU at the source brings its data. diskPort is 0
// where no disks go.
func pointTo(r *libvirtrpc.Reply, uri string, diskPort int, log zerolog.Logger) error {
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	if err != nil {
		return err
	}
	prepared.URI = &uri
	if diskPort != 0 {
		var is bool
		prepared.Cookie, is, err = libvirtrpc.SetNBDPort(prepared.Cookie, diskPort)
		if err != nil {
			return err
		}
		if !is {
			log.Info().Msg("the destination takes no disks, though the flags say so")
		}
	}
	r.Body = prepared.Encode()
	return nil
}
