package proxy

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/plan"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// accept decides on a session that a peer opens, by the parts on.
func (d *Daemon) accept(ctx context.Context, on *parts, info stream.Info, certificate string) (stream.Handler, func(*stream.Session), error) {
	p := on.Peers.Get(info.Peer)
	if info.Clear && (on.Config.Secure() || p.Conf.TLS == control.Yes) {
		return nil, nil, fmt.Errorf("%s asks for data in clear, which %s does not allow: migrate with TLS, or set require_secure = false on both hosts", info.Peer, on.Config.Name)
	}
	if info.Clear && info.Work == session.WorkLibvirt {
		return nil, nil, fmt.Errorf("%s asks for a libvirt channel in clear, which is never allowed, whatever require_secure says", info.Peer)
	}
	brings := info.Work == session.WorkMigration || info.Work == session.WorkSteered && !on.arrivals.Pulls.Waits(info)
	if brings && p.Access() == config.AccessReadOnly {
		return nil, nil, fmt.Errorf("access denied: peers.%s.access on %s is %q, and bringing a guest takes %q", p.Conf.Table(), on.Config.Name, config.AccessReadOnly, config.AccessMigrate)
	}
	entry, err := d.Sessions.Add(info, control.Incoming)
	if err != nil {
		return nil, nil, err
	}
	entry.AskedBy(&control.Asker{Certificate: certificate}, nil)
	on.NoteLimits(entry, 0)
	log := session.Log(d.Log, info, control.Incoming)
	var h stream.Handler
	var started func(*stream.Session)
	switch info.Work {
	case session.WorkMigration, session.WorkSteered:
		h, started, err = on.arrivals.Accept(ctx, info, entry, log)
	case session.WorkLibvirt:
		h, started = on.gateway.Accept(p, entry, log)
	case session.WorkLead:
		h, started, err = on.gateway.AcceptLead(p, entry, log)
	case session.WorkIntercept:
		h, err = intercept.Accept(on.Host, p, entry, log)
		started = entry.SetSession
	case session.WorkProbe:
		h, started, err = plan.AcceptProbe(on.Host, p, entry, log)
	default:
		err = fmt.Errorf("sessions for %.20q are unknown on %s: update the older sluice", info.Work, on.Config.Name)
	}
	if err != nil {
		// As the peer is told it, with this host's name.
		d.Sessions.End(entry, control.Failed, stream.CodeRefused, fmt.Sprintf("%s: %v", on.Config.Name, err))
		log.Warn().Err(err).Msg("session refused")
		return nil, nil, err
	}
	log.Info().Msg("session opened")
	return h, started, nil
}
