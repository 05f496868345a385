package migration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/direct"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// withoutSluice is a host without a sluice as a migration's destination: the calls that its sluice
// would answer are made to its libvirtd from here, and the data goes to the ports of its QEMU.
// There is TLS at that end where QEMU's own is allowed (VIR_MIGRATE_TLS); at this end it is
// sluice's, and QEMU here has no keys.
//
// libvirt's steps stay apart even so, rather than one peer-to-peer call: that
// one resumes the guest here when the answer to Finish is lost. What can't be
// had without a sluice there is a memory of what became of a guest that is
// gone: an absent guest may have run, and ended. It then stays paused here.
type withoutSluice struct {
	source *host.Host
	peer   *peer.Peer
	info   stream.Info
	log    zerolog.Logger
	limits stream.Limits
	native bool // QEMU there has TLS
	qemu   *direct.RemoteQEMU

	ctx      context.Context // ends with a *stream.Cause
	cancel   context.CancelCauseFunc
	channels *direct.Channels
	joining  sync.Mutex // one connection of QEMU's at a time

	// broke is how the first channel broke. That is no failure by itself: QEMU
	// resets a connection that it has done with, and libvirt says whether it had.
	broke atomic.Pointer[stream.Cause]

	ports atomic.Pointer[map[string]int] // of QEMU there, by the kind of channel; nil until it waits

	once    sync.Once
	cause   *stream.Cause // set before settled is closed
	settled chan struct{}
	over    chan struct{} // closed when nothing is left

	calls    sync.Mutex // one at a time; the fields below are theirs
	steps    arrival.Steps
	prepared bool
	asked    bool // to take the guest over
	finished bool // libvirt there holds the guest as its own, or not at all
}

// mayGoWithoutSluice says how a guest may go to a host where none answered, and why not.
func (m *outgoing) mayGoWithoutSluice(ctx context.Context, none *peer.NoSluiceError) (native bool, err error) {
	allowed, here, name, table := m.peer.Conf.WithoutSluice, m.host.Config.Name, m.peer.Name, m.peer.Conf.Table()
	native = allowed == config.WithoutNativeTLS || m.req.TLS == control.Yes
	_, _, secure := m.peer.Conf.LibvirtAt()
	refuse := func(format string, args ...any) (bool, error) {
		return false, none.And(format, args...)
	}
	switch {
	case allowed == config.WithoutNo:
		return refuse("without a sluice there no guest goes to %s, since peers.%s.without_sluice on %s does not allow it", name, table, here)
	case m.info.Clear && m.req.TLS == control.No && allowed != config.WithoutPlain:
		return refuse("without a sluice there only QEMU's own TLS is allowed by peers.%s.without_sluice on %s: leave out --tls no", table, here)
	case m.flags&(libvirt.MigratePostcopy|libvirt.MigratePostcopyResume) != 0:
		return refuse("post-copy needs a sluice there, which can tell what became of the guest: leave out --postcopy")
	case m.req.TLS == control.Yes && !secure:
		return refuse("--tls yes needs libvirt's calls by TLS too: set peers.%s.libvirt_uri on %s to qemu+tls://", table, here)
	case !native && m.peer.SluiceSeen.Load():
		return refuse("the guest's memory would go in clear, and %s: add --tls yes for QEMU's own TLS there, or %s", m.peer.SeenText(), m.host.Peers.RestartHint(m.peer))
	}
	if led, err := interceptedHere(ctx, m.host, m.peer); err != nil {
		return refuse("whether the kernel leads connections to %s's migration ports to sluice can't be told: %v", name, err)
	} else if led != "" {
		return refuse("the kernel leads connections to %s's migration ports to sluice, and there is none to take them: leave `intercept` of peers.%s out or empty, then `sluice intercept up`", led, table)
	}
	return native, nil
}

// interceptedHere is an address of p's that interception on this host still covers, or none.
func interceptedHere(ctx context.Context, d *host.Host, p *peer.Peer) (string, error) {
	table, err := rules.Read()
	switch {
	case errors.Is(err, rules.ErrOff):
		return "", nil
	case err != nil && d.Config.Intercept == nil && !errors.Is(err, rules.ErrForeign):
		return "", nil // a daemon that intercepts nothing may lack the right to ask (CAP_NET_ADMIN)
	case err != nil:
		return "", err
	}
	host, _, _ := p.Conf.LibvirtAt()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if table.Peer(a.Unmap()) != "" {
			return a.Unmap().String(), nil
		}
	}
	return "", nil
}

// openWithoutSluice connects to libvirt at a host without a sluice.
func (m *outgoing) openWithoutSluice(ctx context.Context, limits stream.Limits, native bool) (destination, error) {
	uuid, err := virt.ParseUUID(m.info.UUID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limits.Handshake, fmt.Errorf("no answer within %v (limits.handshake_timeout)", limits.Handshake))
	defer cancel()
	virt, err := m.host.Peers.ConnectLibvirt(ctx, m.peer)
	if err != nil {
		return nil, err
	}
	if _, _, secure := m.peer.Conf.LibvirtAt(); secure && !native {
		if m.host.Peers.LookAgain(ctx, m.peer, virt.RemoteAddr().String()); m.peer.SluiceSeen.Load() {
			virt.Close()
			return nil, &stream.Cause{Code: stream.CodeRefused, Host: m.host.Config.Name, Text: fmt.Sprintf("the guest's memory would go in clear, and there is a sluice at %s, where libvirtd of %s is: see whether its name resolves to another address", virt.RemoteAddr(), m.peer.Name)}
		}
	}
	b := &withoutSluice{
		source: m.host, peer: m.peer, info: m.info, log: m.log, limits: limits, native: native, steps: arrival.Steps{Virt: virt, UUID: uuid},
		settled: make(chan struct{}), over: make(chan struct{}),
	}
	// Data goes where libvirtd has shown the peer's certificate: its name could be resolved to
	// another host by now.
	at, _, err := net.SplitHostPort(virt.RemoteAddr().String())
	if err != nil {
		virt.Close()
		return nil, err
	}
	b.qemu = &direct.RemoteQEMU{Peers: m.host.Peers, Peer: m.peer, Host: at, TLS: native}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	b.channels = direct.NewChannels(b.ctx, m.peer.Name, limits, func(channel string, err error) {
		b.broke.CompareAndSwap(nil, &stream.Cause{Code: stream.CodeLink, Host: m.host.Config.Name, Channel: channel, Text: fmt.Sprintf("the connection with QEMU on %s broke: %v", b.peer.Name, err)})
	})
	by, disks := session.ByQEMUThere, ""
	if !native {
		by = session.ByNothing
	}
	if m.req.CopyStorage != control.CopyNone {
		disks = by
	}
	if !m.req.Offline {
		m.entry.SecuredBy(by, disks)
	}
	if !m.req.Offline && !native {
		m.host.Sessions.InClear.Count(control.Outgoing)
	}
	m.warnWithoutSluice(native)
	go b.run()
	return b, nil
}

// warnWithoutSluice tells of what a host without a sluice costs.
func (m *outgoing) warnWithoutSluice(native bool) {
	text := fmt.Sprintf("%s has no sluice: data goes to QEMU's own TLS there (peers.%s.without_sluice)", m.peer.Name, m.peer.Conf.Table())
	switch {
	case m.req.Offline:
		text = fmt.Sprintf("%s has no sluice: the definition goes to its libvirtd (peers.%s.without_sluice)", m.peer.Name, m.peer.Conf.Table())
	case !native:
		text = fmt.Sprintf("%s has no sluice: the guest's memory and disks go in clear (peers.%s.without_sluice = %q)", m.peer.Name, m.peer.Conf.Table(), config.WithoutPlain)
	}
	m.warnings = append(m.warnings, text)
	m.log.Warn().Bool("tls", native).Msg(text)
}

// run owns the end, and meanwhile looks whether libvirt there is still to be heard.
func (b *withoutSluice) run() {
	defer close(b.over)
	again := time.NewTicker(max(b.limits.Idle/4, 25*time.Millisecond))
	defer again.Stop()
	var length <-chan time.Time
	if b.limits.Length > 0 {
		t := time.NewTimer(b.limits.Length)
		defer t.Stop()
		length = t.C
	}
	var beats sync.WaitGroup
	beating := make(chan struct{}, 1)
	for settled := false; !settled; {
		select {
		case <-b.settled:
			settled = true
		case <-b.steps.Virt.Gone():
			b.Fail(&stream.Cause{Code: stream.CodeLink, Text: fmt.Sprintf("libvirt on %s closed its connection: it was stopped, or has crashed, or the link broke", b.peer.Name)})
		case <-length:
			b.Fail(&stream.Cause{Code: stream.CodeLimit, Text: fmt.Sprintf("time limit of the migration reached: %v (limits.session_timeout)", b.limits.Length)})
		case <-again.C:
			select {
			case beating <- struct{}{}:
				beats.Go(func() {
					b.beat()
					<-beating
				})
			default:
			}
		}
	}
	b.end()
	beats.Wait()
}

// beat asks libvirt there for a sign of life.
func (b *withoutSluice) beat() {
	t := time.AfterFunc(b.limits.Idle, func() {
		b.Fail(&stream.Cause{Code: stream.CodeLink, Text: fmt.Sprintf("nothing was heard from libvirt on %s for %v (limits.idle_timeout): the link is down, or the host is frozen", b.peer.Name, b.limits.Idle)})
	})
	_, err := b.steps.Virt.ConnectGetLibVersion() // returns at the latest when end closes the connection
	t.Stop()
	if said := (libvirt.Error{}); errors.As(err, &said) { // virtproxyd's, behind which there is nobody
		b.Fail(b.said("giving a sign of life", err))
	}
}

// end leaves nothing behind: a guest that was prepared and not asked for is
// given up, by libvirt's Finish or else by the end of its connection.
func (b *withoutSluice) end() {
	if b.cause.Done() {
		t := time.AfterFunc(direct.DrainTimeout, func() { b.cancel(b.cause) })
		b.channels.Wait()
		t.Stop()
	}
	b.cancel(b.cause)
	b.channels.Wait()
	b.calls.Lock()
	defer b.calls.Unlock()
	if b.prepared && !b.asked && !b.finished {
		ctx, cancel := context.WithTimeout(context.Background(), b.source.Config.Limits.GiveUpTimeout)
		b.steps.Finish(ctx, &arrival.FinishCall{Cancelled: true})
		cancel()
	}
	b.steps.Virt.Close()
}

func (b *withoutSluice) settle(c *stream.Cause) {
	b.once.Do(func() {
		b.cause = c
		if !c.Done() {
			b.cancel(c)
		}
		close(b.settled)
	})
}

func (b *withoutSluice) Fail(c *stream.Cause) {
	if c.Host == "" {
		own := *c
		own.Host = b.source.Config.Name
		c = &own
	}
	if broke := b.broke.Load(); broke != nil && c.Code == stream.CodeLibvirt {
		c = broke // and libvirt's words follow from it
	}
	b.settle(c)
}

func (b *withoutSluice) Finish()                          { b.settle(&stream.Cause{Code: stream.CodeDone, Text: "done"}) }
func (b *withoutSluice) Context() context.Context         { return b.ctx }
func (b *withoutSluice) Settled() <-chan struct{}         { return b.settled }
func (b *withoutSluice) Unbound()                         {} // is for post-copy
func (b *withoutSluice) SetBandwidth(n int64)             { b.channels.SetBandwidth(n) }
func (b *withoutSluice) channelStatus() []session.Channel { return b.channels.Status() }

func (b *withoutSluice) Wait() *stream.Cause {
	<-b.over
	return b.cause
}

// outcome asks libvirt there, on a new connection.
func (b *withoutSluice) outcome(ctx context.Context) (*arrival.OutcomeReply, error) {
	b.calls.Lock()
	asked := b.asked
	b.calls.Unlock()
	return OutcomeWithoutSluice(ctx, b.source, b.peer, b.steps.UUID, asked)
}

// OutcomeWithoutSluice asks the libvirt of a host without a sluice what became of a guest that it
// was, or was not, asked to take over. Without a sluice nobody there remembers one that has ended.
func OutcomeWithoutSluice(ctx context.Context, h *host.Host, p *peer.Peer, guest libvirt.UUID, asked bool) (*arrival.OutcomeReply, error) {
	state, err := stateWithoutSluice(ctx, h, p, guest)
	if err != nil {
		peer.Late(ctx)
		return nil, err
	}
	reply := &arrival.OutcomeReply{Outcome: arrival.OutcomeUndecided, State: state.String()}
	switch {
	case state.Running():
		reply.Outcome = arrival.OutcomeRuns
	case state.Absent && !asked:
		reply.Outcome = arrival.OutcomeAbsent
	case state.Absent:
		reply.State = "absent, and may have run there and ended, which no one there remembers without a sluice"
	}
	return reply, nil
}

// stateWithoutSluice is a guest's at the other host.
func stateWithoutSluice(ctx context.Context, h *host.Host, p *peer.Peer, guest libvirt.UUID) (virt.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Config.Limits.HandshakeTimeout, errors.New("libvirt does not answer"))
	defer cancel()
	v, err := h.Peers.ConnectLibvirt(ctx, p)
	if err != nil {
		return virt.State{}, err
	}
	defer v.Close()
	return v.State(ctx, guest)
}
