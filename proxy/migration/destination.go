package migration

import (
	"context"
	"net"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// destination is the destination of a migration that this host runs: the peer's sluice,
// by a session, or a host that has none.
type destination interface {
	// Call makes one of the migration's calls there. Its error is a *stream.Cause.
	Call(ctx context.Context, name string, body, reply any) error
	// join takes over one connection of QEMU's. Those of a kind come to the QEMU there in the order
	// of the calls. An error ends the migration, and is told by Wait.
	join(ctx context.Context, kind string, c net.Conn) error
	// outcome asks, on a new connection, what became of the guest. All is over.
	outcome(ctx context.Context) (*arrival.OutcomeReply, error)
	channelStatus() []session.Channel

	// As stream.Session has them.
	Context() context.Context
	Settled() <-chan struct{}
	Wait() *stream.Cause
	Fail(*stream.Cause)
	Finish()
	Unbound()
	SetBandwidth(bytesPerSecond int64)
}

// sluiceDestination is a session with the peer's sluice.
type sluiceDestination struct {
	*stream.Session
	opener *stream.Opener
}

func (f *sluiceDestination) join(ctx context.Context, kind string, c net.Conn) error {
	_, err := f.OpenChannel(ctx, kind, c)
	return err
}

func (f *sluiceDestination) outcome(ctx context.Context) (*arrival.OutcomeReply, error) {
	reply := new(arrival.OutcomeReply)
	return reply, f.opener.Ask(ctx, f.ID, arrival.AskOutcome, &arrival.OutcomeAsk{Session: f.ID, UUID: f.UUID}, reply)
}

func (f *sluiceDestination) channelStatus() []session.Channel { return session.ChannelsOf(f.Session) }

// reach opens the far end of m: the peer's sluice wherever it answers, and only
// where there is none, and the configuration allows it, the host without it.
func (m *outgoing) reach(ctx context.Context) (destination, error) {
	o := m.host.Opener(m.peer)
	o.Limits = m.host.Limits(m.req.Bandwidth)
	s, none, err := peer.Open(ctx, o, m.info)
	switch {
	case err == nil:
		return &sluiceDestination{s, o}, nil
	case none == nil:
		return nil, err
	}
	if m.withoutPostcopy() {
		m.entry.Decided("post-copy is not used: it needs a sluice on %s, which can tell what became of the guest", m.peer.Name)
		m.log.Info().Msg("post-copy is not used: it needs a sluice there, which can tell what became of the guest")
	}
	native, err := m.mayGoWithoutSluice(ctx, none)
	if err != nil {
		return nil, err
	}
	return m.openWithoutSluice(ctx, o.Limits, native)
}
