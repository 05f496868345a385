package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// AskCancel is the question by which a destination has a migration cancelled at its source: only
// there it is known whether the guest is past that point, and libvirt there ends its job in order.
const AskCancel = "cancel"

// CancelAsk names the session.
type CancelAsk struct {
	Session string `msgpack:"session"`
}

// CancelAtSource is a destination's way to cancel the migration that e carries.
func (h *Host) CancelAtSource(e *session.Entry) func(context.Context, *stream.Cause) error {
	return func(ctx context.Context, _ *stream.Cause) error {
		p := h.Peers.Get(e.Info.Peer)
		if p == nil {
			return fmt.Errorf("%s, where the guest comes from, is no peer in the configuration of %s any more: `sluice cancel` there", e.Info.Peer, h.Config.Name)
		}
		err := h.Opener(p).Ask(ctx, e.Info.ID, AskCancel, &CancelAsk{Session: e.Info.ID}, nil)
		var c *stream.Cause
		switch {
		case errors.As(err, &c) && c.Code == stream.CodeRefused:
			return c // in its words
		case err != nil:
			return fmt.Errorf("the source decides whether it can be cancelled yet, and could not be asked: %w; `sluice cancel` or `virsh domjobabort %s` on %s", err, e.Info.Guest, e.Info.Peer)
		}
		return nil
	}
}
