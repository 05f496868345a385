package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// destination is the other end of an interception: it connects what a peer's sluice
// has intercepted to the QEMU that waits for it here.
type destination struct {
	host  *host.Host
	entry *session.Entry
	log   zerolog.Logger

	mu sync.Mutex
	to netip.AddrPort // zero: not told yet
}

// Accept serves a session of a peer that may migrate.
func Accept(d *host.Host, p *peer.Peer, entry *session.Entry, log zerolog.Logger) (*destination, error) {
	switch {
	case d.Config.Intercept == nil:
		return nil, fmt.Errorf("intercepted connections are not accepted: add [intercept] to the configuration of %s", d.Config.Name)
	case p.Access() == config.AccessReadOnly:
		return nil, fmt.Errorf("access denied: peers.%s.access is %q there, which does not allow migrations over QEMU's own connections", p.Conf.Table(), config.AccessReadOnly)
	case entry.Info.Clear:
		return nil, errors.New("intercepted connections must use TLS")
	}
	entry.SecuredBy(session.BySluice, "")
	return &destination{host: d, entry: entry, log: log}, nil
}

// Call takes the port that the connection was meant for.
func (l *destination) Call(ctx context.Context, name string, body []byte) (any, error) {
	var call portCall
	if name != callPort {
		return nil, fmt.Errorf("an intercepted connection has no call %.20q", name)
	}
	if err := msgpack.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("read the call %s: %w", name, err)
	}
	to, err := l.qemuListener(call.Port)
	if err == nil {
		err = l.host.PortIsFor(ctx, to, l.entry.Info.Peer)
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
	l.entry.IntendedFor(to)
	return nil, nil
}

// Connect connects to QEMU.
func (l *destination) Connect(ctx context.Context, kind string, number int) (net.Conn, error) {
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	if kind != stream.ChannelIntercept || number != 0 || !to.IsValid() {
		return nil, errors.New("the session of an intercepted connection has one channel, after its port is known")
	}
	if !to.Addr().IsUnspecified() {
		return dialTCP(ctx, to)
	}
	if to.Addr().Is4() {
		return dialTCP(ctx, netip.AddrPortFrom(loopback4, to.Port()))
	}
	// A listener at all addresses of IPv6 takes those of IPv4 as well or not;
	// IPv6 alone is certain, unless this host has turned it off.
	c, err := dialTCP(ctx, netip.AddrPortFrom(netip.IPv6Loopback(), to.Port()))
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENETUNREACH) {
		return dialTCP(ctx, netip.AddrPortFrom(loopback4, to.Port()))
	}
	return c, err
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", to.String())
}

// qemuListener is where this host's QEMU waits at a migration port. Nothing
// else is connected to for a peer, whatever listens there.
func (l *destination) qemuListener(port uint16) (netip.AddrPort, error) {
	none := netip.AddrPort{}
	if first, last := l.host.Config.Intercept.Range(); port < first || port > last {
		return none, fmt.Errorf("port %d is not a migration port there: intercept.ports is %s", port, l.host.Config.Intercept.Ports)
	}
	all, err := sockets.Listeners(port)
	if err != nil {
		return none, err
	}
	for _, at := range all {
		if at.UID == l.host.QEMUUID && !at.Mine {
			return netip.AddrPortFrom(at.Addr, port), nil
		}
	}
	if len(all) > 0 {
		return none, fmt.Errorf("port %d is held by another program (uid %d), not QEMU (qemu_user, uid %d)", port, all[0].UID, l.host.QEMUUID)
	}
	return none, fmt.Errorf("nothing listens at port %d: no guest is expected there", port)
}

// LocalGone: QEMU closes its end with bytes under way after some migrations
// that went well, and when it dies; its other end's own protocol tells which.
func (l *destination) LocalGone(cause *stream.Cause) {
	l.log.Info().Str("cause", cause.Error()).Msg("QEMU closed its end")
}

// End implements stream.Handler.
func (l *destination) End(cause *stream.Cause) {
	l.host.Sessions.EndLogged(l.entry, l.log, session.OutcomeOf(cause), cause)
}
