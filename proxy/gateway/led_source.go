package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// ledSource is the source's half of a session that leads a guest to the peer that has opened it.
// The peer's word is taken for what became of a guest only once the guest's own QEMU has sent its
// memory there, in the migration that libvirt here has under way.
type ledSource struct {
	gateway *Gateway
	peer    *peer.Peer
	entry   *session.Entry
	log     zerolog.Logger
	session *stream.Session
	guest   libvirt.UUID

	// One call at a time; the fields below are theirs, and End's after them.
	mu      sync.Mutex
	caller  *remoteCaller
	moving  *steeredSource // nil before the offer
	asked   bool           // the peer has asked for the guest to be held
	split   bool           // a part of it was on each host then
	settled bool           // the peer has said what became of it
	runs    bool           // that it runs there
}

// AcceptLead takes a session by which a peer leads a guest of this host to itself.
func (gw *Gateway) AcceptLead(p *peer.Peer, e *session.Entry, log zerolog.Logger) (stream.Handler, func(*stream.Session), error) {
	l := &ledSource{gateway: gw, peer: p, entry: e, log: log}
	var err error
	l.guest, err = virt.ParseUUID(e.Info.UUID)
	return l, l.start, err
}

func (l *ledSource) start(s *stream.Session) {
	l.session = s
	l.entry.SetSession(s)
}

func (l *ledSource) Connect(context.Context, string, int) (net.Conn, error) {
	return nil, errors.New("a session that leads has no channels: the guest's data goes by one of its own")
}

func (l *ledSource) Call(ctx context.Context, name string, body []byte) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch name {
	case callOffer:
		return called(body, func(call *offerCall) (any, error) { return l.offer(ctx, call) })
	case callDepart:
		return called(body, func(call *departCall) (any, error) { return nil, l.depart(ctx, call) })
	case callSettle:
		return called(body, func(call *settleCall) (any, error) { return nil, l.settle(call) })
	case callRead:
		return nil, l.read()
	}
	return nil, fmt.Errorf("a session that leads has no call %.20q", name)
}

func called[T any](body []byte, do func(*T) (any, error)) (any, error) {
	call := new(T)
	if err := msgpack.Unmarshal(body, call); err != nil {
		return nil, fmt.Errorf("read the call: %w", err)
	}
	return do(call)
}

func (l *ledSource) offer(ctx context.Context, call *offerCall) (*offerReply, error) {
	if l.moving != nil {
		return nil, errors.New("the guest has a session already")
	}
	t, err := transfer.Of(call.Flags, nil)
	if err != nil {
		return nil, err
	}
	if !t.Steered {
		return nil, errors.New("the migration's flags leave no data to a session")
	}
	if state, err := l.gateway.Libvirt.State(ctx, l.guest); err != nil {
		return nil, err
	} else if state.Absent {
		return nil, fmt.Errorf("guest %s (%s) is not on %s", l.entry.Info.Guest, l.entry.Info.UUID, l.gateway.Config.Name)
	}
	if l.caller, err = l.gateway.newRemoteCaller(call.Client, call.Server); err != nil {
		l.log.Warn().Err(err).Msg("the guest's libvirt connection does not begin here as its destination sees it: if the link fails at the end of the migration, libvirt's own safety is all there is")
	}
	g := guest{name: l.entry.Info.Guest, uuid: l.entry.Info.UUID, id: l.guest}
	m, err := l.gateway.steer(ctx, l.peer, steering{guest: g, transfer: t, id: call.Session, led: true, asked: l.entry.Asker(), switched: l.session.Unbound})
	if err != nil {
		return nil, err
	}
	m.entry.SetPhase(control.PhaseMemory)
	l.moving = m
	return &offerReply{URI: m.listeners.uri, DiskPort: m.listeners.diskPort}, nil
}

// depart holds the guest, once. Only one whose own QEMU has sent its memory to the peer is the peer's
// to run.
func (l *ledSource) depart(ctx context.Context, call *departCall) error {
	m := l.moving
	switch {
	case m == nil:
		return errors.New("the guest has no session")
	case l.asked || l.settled:
		return errors.New("the guest has been asked for already")
	case !m.hasMemory():
		return errNothingSent
	}
	l.asked = true
	if l.split = m.split(); l.split {
		return nil
	}
	known, err := m.undecided()
	if err != nil {
		return err
	}
	if err = m.isUnderWay(ctx); err == nil {
		_, err = m.depart(ctx, call.Flags, l.caller.fenced(), nil)
	}
	if err != nil {
		known()
		m.fail(stream.CodeLocal, err.Error())
	}
	return err
}

func (l *ledSource) settle(call *settleCall) error {
	m := l.moving
	if m == nil {
		return errors.New("the guest has no session")
	}
	d, known := m.leaving()
	switch {
	case l.settled:
		return errors.New("what became of the guest has been said already")
	// The peer asks for no hold of one whose post-copy is resumed.
	case call.Runs && d == nil && !l.split && !(m.hasMemory() && m.transfer.Flags&libvirt.MigratePostcopyResume != 0):
		return errors.New("the guest was not held, so that it can't run there")
	}
	l.settled, l.runs = true, call.Runs
	if d != nil && call.Runs {
		d.Answered(departure.Runs)
	} else if d != nil {
		d.Answered(departure.Absent)
	}
	switch {
	case call.Runs:
		m.done()
	case call.Cancelled:
		m.givenUp(stream.CodeCancelled, call.Text)
	default:
		m.fail(stream.CodeLibvirt, call.Text)
	}
	if known != nil {
		known()
	}
	return nil
}

// read notes that libvirt here does not resume the guest any more, unless the peer lies
// (docs/design-finish.md).
func (l *ledSource) read() error {
	if !l.runs {
		return errors.New("the guest is not said to run there")
	}
	if d, _ := l.moving.leaving(); d != nil {
		d.Replied()
	}
	return nil
}

func (l *ledSource) End(cause *stream.Cause) {
	if m := l.moving; m != nil && l.settled {
		<-m.over
	} else if m != nil {
		m.lost(cause)
	}
	l.gateway.Sessions.EndLogged(l.entry, l.log, session.OutcomeOf(cause), cause)
}
