package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/plan"
	"github.com/virt-sluice/sluice/stream"
)

// answer answers a peer's question that belongs to no session, by the parts on.
func (d *Daemon) answer(ctx context.Context, on *parts, who stream.Who, name string, body []byte) (any, error) {
	switch name {
	case arrival.AskOutcome:
		var ask arrival.OutcomeAsk
		if err := msgpack.Unmarshal(body, &ask); err != nil {
			return nil, fmt.Errorf("read the question %s: %w", name, err)
		}
		return d.outcome(ctx, on, who, &ask)
	}
	if who.Peer == "" {
		return nil, who.Denied
	}
	switch name {
	case host.AskCancel:
		return d.cancelFor(ctx, who.Peer, body)
	case check.Question:
		return d.checked(ctx, on, who.Peer), nil
	case plan.Question:
		return plan.AnswerPeer(ctx, on.arrivals, on.Peers.Get(who.Peer), body)
	}
	return nil, &stream.Cause{Code: stream.CodeVersion, Text: fmt.Sprintf("there is no question %.20q here: update the older sluice", name)}
}

// outcome says what became of a guest that the asker has brought, by whichever name it went then.
func (d *Daemon) outcome(ctx context.Context, on *parts, who stream.Who, ask *arrival.OutcomeAsk) (reply *arrival.OutcomeReply, err error) {
	names := who.Former
	if who.Peer != "" && !slices.Contains(names, who.Peer) {
		names = append([]string{who.Peer}, names...)
	}
	for _, peer := range names {
		if reply, err = on.arrivals.Outcome(ctx, peer, ask, d.acceptor.Over); err == nil && reply.Outcome != arrival.OutcomeUndecided {
			break
		}
	}
	return reply, err
}

// checked answers a peer's check.
func (d *Daemon) checked(ctx context.Context, on *parts, peer string) *check.Answer {
	certs := on.Peers.Certs.Status(time.Now())
	a := &check.Answer{
		Host: on.Config.Name, Version: d.version, Time: time.Now(), You: peer,
		Priority: on.Peers.Policy(on.Peers.Get(peer)).Source,
	}
	for _, e := range certs.ReloadErrors {
		a.Warnings = append(a.Warnings, e.Error)
	}
	for _, e := range certs.Expiry {
		if e.Warn {
			a.Warnings = append(a.Warnings, fmt.Sprintf("its %s certificate %q ends on %s", e.What, e.Subject, e.NotAfter.UTC().Format(time.DateTime)))
		}
	}
	_, _, a.Draining = d.Sessions.Status()
	ctx, cancel := context.WithTimeoutCause(ctx, on.Config.Limits.HandshakeTimeout/2, fmt.Errorf("no answer within %v", on.Config.Limits.HandshakeTimeout/2))
	defer cancel()
	versions, err := on.Libvirt.Versions(ctx)
	if a.Libvirt = versions.Libvirt; err != nil {
		a.LibvirtError = err.Error()
	}
	a.Offers = d.offers(on, on.Peers.Get(peer), versions)
	return a
}
