package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// cancel cancels the migration of a guest for a caller of the control socket.
func (d *Daemon) cancel(ctx context.Context, req *control.CancelRequest) (*control.CancelReply, error) {
	log := d.Log.Info().Str("guest", stream.Printable(req.Guest))
	if caller, ok := ctx.Value(connKey{}).(*host.Caller); ok {
		log = log.Uint32("uid", caller.UID)
	}
	log.Msg("asked to cancel a migration")
	if c := d.earlierWith(ctx, req.Guest); c != nil {
		return c.Cancel(ctx, req)
	}
	st, err := d.Sessions.Cancel(ctx, req.Guest, session.Cancelled(d.now().Config.Name))
	switch {
	case err == nil:
		return &control.CancelReply{Session: st.ID, Guest: st.Guest, Peer: st.Peer, Direction: st.Direction, Outcome: st.Outcome, Cause: st.Cause}, nil
	case !errors.Is(err, session.ErrNoMigration):
		return nil, conflict(err)
	}
	for _, s := range d.Departures.Status() {
		if s.Guest == req.Guest || s.UUID == req.Guest || s.Session == req.Guest {
			return nil, conflict(fmt.Errorf("guest %s is being taken over by %s, which can't be cancelled any more: `sluice status` shows what is known of it", s.Guest, s.Peer))
		}
	}
	// One of whose guest no session knows, such as an intercepted connection of QEMU's.
	name, err := d.now().Libvirt.AbortMigration(ctx, req.Guest)
	if err != nil {
		return nil, conflict(fmt.Errorf("no session on %s carries a guest %q, and its libvirt has no migration of it to abort (%w): `sluice status` lists what is under way", d.now().Config.Name, stream.Printable(req.Guest), err))
	}
	return &control.CancelReply{Guest: name, Direction: control.Outgoing, Outcome: control.Cancelled}, nil
}

func conflict(err error) error {
	return &control.Error{Code: http.StatusConflict, Message: err.Error()}
}

// cancelFor cancels a migration from this host for the peer that it goes to, where it is this host
// that knows whether it still can be.
func (d *Daemon) cancelFor(ctx context.Context, peer string, body []byte) (any, error) {
	var ask host.CancelAsk
	if err := msgpack.Unmarshal(body, &ask); err != nil {
		return nil, fmt.Errorf("read the question %s: %w", host.AskCancel, err)
	}
	d.Log.Info().Str("peer", peer).Str("session", stream.Printable(ask.Session)).Msg("asked to cancel a migration")
	err := d.Sessions.CancelSession(ctx, ask.Session, peer, session.Cancelled(peer))
	if errors.Is(err, session.ErrNoMigration) {
		err = fmt.Errorf("it has ended on %s already", d.now().Config.Name)
	}
	return nil, err
}
