package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/stream"
)

// answer answers a peer's question that belongs to no session.
func (d *Daemon) answer(ctx context.Context, peer, name string, body []byte) (any, error) {
	switch name {
	case arrival.AskOutcome:
		var ask arrival.OutcomeAsk
		if err := msgpack.Unmarshal(body, &ask); err != nil {
			return nil, fmt.Errorf("read the question %s: %w", name, err)
		}
		return d.arrivals.Outcome(ctx, peer, &ask, d.acceptor.Over)
	case host.AskCancel:
		return d.cancelFor(ctx, peer, body)
	case check.Question:
		return d.checked(ctx, peer), nil
	}
	return nil, &stream.Cause{Code: stream.CodeVersion, Text: fmt.Sprintf("there is no question %.20q here: update the older sluice", name)}
}

// checked answers a peer's check.
func (d *Daemon) checked(ctx context.Context, peer string) *check.Answer {
	certs := d.Peers.Certs.Status(time.Now())
	a := &check.Answer{
		Host: d.Config.Name, Version: d.version, Time: time.Now(), You: peer,
		Priority: d.Peers.Certs.For(d.Peers.All[peer]).Source,
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
	ctx, cancel := context.WithTimeoutCause(ctx, d.Config.Limits.HandshakeTimeout/2, fmt.Errorf("no answer within %v", d.Config.Limits.HandshakeTimeout/2))
	defer cancel()
	versions, err := d.Libvirt.Versions(ctx)
	if a.Libvirt = versions.Libvirt; err != nil {
		a.LibvirtError = err.Error()
	}
	a.Offers = d.offers(d.Peers.All[peer], versions)
	return a
}
