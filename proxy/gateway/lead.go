package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// A host with a sluice may have its libvirt or its clients come to this one by TLS (qemu+tls://),
// past its own sluice. The destination's sluice then has the source's lead the guest's data through
// a session, and hold the guest while this host takes it over:
//
//	libvirt at the source ── Prepare, Finish ── destination filter
//	sluice at the source ─ "lead": offer, depart, settle, read ─ sluice at the destination
//	QEMU at the source ═════ "steered": memory, disks ════════ QEMU at the destination
//
// The one for the data ends when it is known what became of the guest; the other once libvirt at the
// source has read that as well.

// Calls of a session that leads.
const (
	callOffer  = "offer"
	callDepart = "depart"
	callSettle = "settle"
	callRead   = "read" // the caller has read that the guest runs at the destination
)

// offerCall asks the source for a session for the guest's data.
type offerCall struct {
	Session string `msgpack:"session"` // its ID
	Flags   uint32 `msgpack:"flags"`   // the migration's
	// The connection of the source's libvirt, or of the client that runs its steps, as it is seen
	// from the destination, HOST:PORT.
	Client string `msgpack:"client"`
	Server string `msgpack:"server"`
}

// offerReply is where QEMU at the source is to bring the data.
type offerReply struct {
	URI      string `msgpack:"uri"`
	DiskPort int    `msgpack:"disk_port,omitempty"`
}

// departCall asks the source to hold the guest, whose Finish is about to be asked for.
type departCall struct {
	Flags uint32 `msgpack:"flags"` // Finish's
}

// settleCall tells the source what became of the guest.
type settleCall struct {
	Runs      bool   `msgpack:"runs"`
	Text      string `msgpack:"text,omitempty"`      // why not
	Cancelled bool   `msgpack:"cancelled,omitempty"` // nobody has asked for the guest
}

// lead is the destination's half.
type lead struct {
	session *stream.Session
	entry   *session.Entry
	log     zerolog.Logger
	gateway *Gateway

	caller context.Context // ends with the caller's connection
	read   chan bool       // has an element when it is known whether the caller has read that the guest runs here
}

// lead begins to lead a guest from p, for a caller whose connection ends with ctx. That p has no
// sluice is also told by none.
func (gw *Gateway) lead(ctx context.Context, p *peer.Peer, g guest, asked *control.Asker) (l *lead, none *peer.NoSluiceError, err error) {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkLead, Guest: g.name, UUID: g.uuid, Peer: p.Name, Address: p.Conf.Address}
	l = &lead{gateway: gw, log: session.Log(gw.Log, info, control.Outgoing), caller: ctx, read: make(chan bool, 1)}
	if l.entry, err = gw.Sessions.AddLed(info); err != nil {
		return nil, nil, err
	}
	l.entry.AskedBy(asked, nil)
	if l.session, none, err = peer.Open(ctx, gw.Opener(p), info); err != nil {
		gw.Sessions.End(l.entry, control.Failed, session.CauseOf(err).Code, err.Error())
		return nil, none, err
	}
	l.entry.SetSession(l.session)
	gw.Work.Go(func() {
		cause := l.session.Wait()
		gw.Sessions.EndLogged(l.entry, l.log, session.OutcomeOf(cause), cause)
	})
	return l, nil, nil
}

// call asks the source, which may answer pings and nothing else, for at most limit.
func (l *lead) call(ctx context.Context, limit time.Duration, name string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("sluice on %s did not answer within %v", l.session.Peer, limit))
	defer cancel()
	return l.session.Call(ctx, name, in, out)
}

// end tells the source what became of the guest, and ends the session. cancelled says that nobody
// asked for the guest. Who waits for the answer to Finish does not wait for this.
func (l *lead) end(v arrival.Verdict, why *stream.Cause, cancelled bool) {
	l.gateway.Work.Go(func() {
		settle := func(call settleCall) error {
			return l.call(context.Background(), l.gateway.Config.Limits.GiveUpTimeout, callSettle, call, nil)
		}
		var err error
		switch v {
		case arrival.Ran:
			if err = settle(settleCall{Runs: true}); err == nil && l.callerReads() {
				l.call(context.Background(), l.gateway.Config.Limits.GiveUpTimeout, callRead, nil, nil) // an older sluice does not know it
			}
		case arrival.NeverRan:
			err = settle(settleCall{Text: why.Error(), Cancelled: cancelled})
		default:
			l.session.Fail(why)
			return
		}
		if err != nil { // it asks by itself
			l.log.Warn().Err(err).Msg("the source was not told what became of the guest")
			l.session.Fail(session.CauseOf(err))
			return
		}
		l.session.Finish()
	})
}

// leadFrom has the sluice of the caller's host lead the guest's data here. nil without an error:
// it does not answer, and the guest may come without it.
func (g *destinationFilter) leadFrom(ctx context.Context, of guest) (*lead, error) {
	p := g.tlsPeer
	l, none, err := g.gateway.lead(ctx, p, of, g.asked)
	switch {
	case err == nil:
		return l, nil
	case p.MayComeWithoutSluice() || g.listed:
		if none != nil && p.Conf.WithoutSluice == config.WithoutPlain {
			g.gateway.Peers.LookAgain(ctx, p, g.address)
		}
		g.log.Info().Err(err).Msg("the guest comes without its host's sluice")
		return nil, nil
	case none != nil:
		return nil, none.And("%s comes without its sluice, which peers.%s.without_sluice on %s does not allow", p.Name, p.Conf.Table(), g.gateway.Config.Name)
	}
	return nil, fmt.Errorf("sluice on %s, which is to lead the guest's data here, can't be asked to: %w", p.Name, err)
}

// offerLead prepares for the session by which the source's sluice brings the guest. point puts
// where the source's QEMU is to connect into the reply.
func (g *destinationFilter) offerLead(ctx context.Context, a *preparedGuest, call *libvirtrpc.Prepare, id string) (point func(*libvirtrpc.Reply) error, err error) {
	forget, err := g.awaitSession(a, call, id, g.tlsPeer.Name)
	if err != nil {
		return nil, err
	}
	var offer offerReply
	err = a.lead.call(ctx, g.gateway.Config.Limits.PrepareTimeout, callOffer, offerCall{Session: id, Flags: call.Flags, Client: g.address, Server: g.local}, &offer)
	if err != nil {
		forget()
		return nil, err
	}
	a.end = func(v arrival.Verdict) {
		forget()
		why := g.causeOf(v, a.asked.Load())
		a.lead.end(v, why, a.life.CalledOff() && why.Code == stream.CodeCancelled)
	}
	if a.transfer.Postcopy() {
		g.gateway.Work.Go(func() { a.life.AwaitPostcopy(a.lead.session.Context(), a.lead.session.Unbound) })
	}
	return func(r *libvirtrpc.Reply) error {
		return pointTo(r, offer.URI, offer.DiskPort, g.log)
	}, nil
}

// depart has the source hold a guest, before libvirt here is asked to run it. In post-copy there is
// nothing to hold: a part of it is on each host.
func (l *lead) depart(ctx context.Context, call *libvirtrpc.Finish) error {
	return l.call(ctx, l.gateway.Config.Limits.FinishTimeout, callDepart, departCall{Flags: call.Flags}, nil)
}

// callerReads waits until the caller has read that the guest runs here; false: nobody can tell.
func (l *lead) callerReads() bool {
	select {
	case read := <-l.read:
		return read
	case <-l.caller.Done():
	case <-l.session.Context().Done():
	}
	return false
}
