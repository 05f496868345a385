package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// callPort tells the peer the port that the connection was meant for.
const callPort = "port"

type portCall struct {
	Port uint16 `msgpack:"port"`
}

// carrier carries connections that the kernel redirects here, each in a session of its own. Those
// meant for one port are connected there in the order in which QEMU made them: before 8.0 it takes
// the first for the main channel.
type carrier struct {
	now func() *host.Host // as each connection finds it

	mu   sync.Mutex
	last map[netip.AddrPort]*turn // by where it is meant to go
}

// turn is a connection's among those that are meant for the same port.
type turn struct {
	done chan struct{} // closed when it is connected there, or never will be
	err  error         // set before
}

// connection is one such connection.
type connection struct {
	*net.TCPConn
	host   *host.Host
	to     netip.AddrPort
	peer   *peer.Peer
	entry  *session.Entry
	uid    int   // whose process has made it
	before *turn // nil: none
	turn   *turn
}

// Listen opens the sockets at a port, one for each of IPv4 and IPv6, and starts what serves them, by
// the host as now has it. It fails where the kernel can't be asked whose addresses connections were
// meant for.
func Listen(ctx context.Context, port int, now func() *host.Host) (closers []func(), err error) {
	d := now()
	switch _, err := rules.Read(); {
	case errors.Is(err, rules.ErrOff), errors.Is(err, rules.ErrForeign):
		d.Log.Warn().Err(err).Msg("QEMU's own connections are not intercepted: `sluice intercept up` turns interception on")
	case err != nil:
		return nil, fmt.Errorf("interception ([intercept]): %w", err)
	}
	i := &carrier{now: now, last: make(map[netip.AddrPort]*turn)}
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback} {
		at := &net.TCPAddr{IP: ip, Port: port}
		l, err := now().Sockets.Listen("intercept "+at.String(), func() (net.Listener, error) { return net.ListenTCP("tcp", at) })
		if ip.To4() == nil && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
			continue // a host without IPv6
		}
		if err != nil {
			return closers, fmt.Errorf("listen for intercepted connections (intercept.port): %w", err)
		}
		closers = append(closers, func() { l.Close() })
		d.Work.Go(func() { i.serve(ctx, l) })
	}
	return closers, nil
}

// Status is nil where interception is not configured.
func Status(conf *config.Intercept) *control.InterceptStatus {
	if conf == nil {
		return nil
	}
	st := rules.Status(nil)
	if !st.On {
		return st
	}
	var all []string
	if first, last := conf.Range(); st.Ports != fmt.Sprintf("%d-%d", first, last) {
		all = append(all, fmt.Sprintf("the kernel closes the ports %s, but intercept.ports is %s", st.Ports, conf.Ports))
	}
	if len(st.Routes) > 0 && st.Port != conf.Port {
		all = append(all, fmt.Sprintf("the kernel redirects connections to port %d, but this daemon accepts them at %d", st.Port, conf.Port))
	}
	if len(all) > 0 {
		st.Problem = strings.Join(all, "; ") + ": `sluice intercept up` corrects it"
	}
	return st
}

// serve carries each connection to its end, until the listener is closed.
func (i *carrier) serve(ctx context.Context, l net.Listener) {
	for {
		raw, err := l.Accept()
		h := i.now()
		if err != nil {
			if h.AcceptAgain(ctx, "accept an intercepted connection", err) {
				continue
			}
			return
		}
		tcp := raw.(*net.TCPConn)
		c := &connection{TCPConn: tcp, host: h}
		if err := i.take(c); err != nil {
			log := h.Log.With().Stringer("address", tcp.RemoteAddr()).Stringer("intended", c.to).Logger()
			h.Refused(log, "intercepted connection refused", c.to.String(), err)
			resetTCP(tcp)
			continue
		}
		h.Work.Go(func() { i.carry(ctx, c) })
	}
}

// take finds where c was meant to go, and gives it a place and its turn after
// those that came before.
func (i *carrier) take(c *connection) (err error) {
	if c.to, err = rules.Original(c.TCPConn); err != nil {
		return err
	}
	if c.peer, err = i.judge(c); err != nil {
		return err
	}
	info := stream.Info{ID: stream.NewID(), Work: session.WorkIntercept, Peer: c.peer.Name, Address: c.peer.Conf.Address}
	if c.entry, err = c.host.Sessions.Add(info, control.Outgoing); err != nil {
		return err
	}
	c.entry.IntendedFor(c.to)
	c.entry.AskedBy(host.LocalAsker(uint32(c.uid), 0), nil)
	i.mu.Lock()
	defer i.mu.Unlock()
	c.before, c.turn = i.last[c.to], &turn{done: make(chan struct{})}
	i.last[c.to] = c.turn
	return nil
}

// over ends c's turn.
func (i *carrier) over(c *connection, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c.turn.err = err
	close(c.turn.done)
	if i.last[c.to] == c.turn {
		delete(i.last, c.to)
	}
}

// carry is c's whole life here. Whatever fails, c is reset, so that QEMU can't
// take it for the end of its peer's stream.
func (i *carrier) carry(ctx context.Context, c *connection) {
	log := session.Log(c.host.Log, c.entry.Info, control.Outgoing).With().Stringer("intended", c.to).Logger()
	s, ch, err := i.open(ctx, c)
	i.over(c, err)
	if s == nil {
		resetTCP(c.TCPConn)
		c.host.Sessions.EndLogged(c.entry, log, control.Failed, session.CauseOf(err))
		return
	}
	stop := context.AfterFunc(ctx, func() { s.Fail(session.ErrStopping) })
	defer stop()
	if ch != nil {
		log.Info().Msg("intercepted connection carried")
		<-ch.Ended()
		if ch.Err() == nil {
			s.Finish()
		}
	}
	cause := s.Wait()
	c.host.Sessions.EndLogged(c.entry, log, session.OutcomeOf(cause), cause)
}

// judge finds whose address c was meant for, and whether it is QEMU's. It asks first whose it is: one
// that QEMU has closed by then is nobody's. QEMU can do so only once all of its data, a few MiB at the
// most, is in the two sockets' buffers.
func (i *carrier) judge(c *connection) (*peer.Peer, error) {
	var err error
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	if c.uid, _, err = sockets.Owner(from, c.to); err != nil {
		return nil, err
	}
	table, err := rules.Read()
	if err != nil {
		return nil, err
	}
	name := table.Peer(c.to.Addr())
	switch {
	case name == "" || !table.Has(c.to.Port()):
		return nil, errors.New("the kernel did not redirect it here: only connections to peers' migration ports are carried")
	case c.host.Peers.Get(name) == nil:
		return nil, fmt.Errorf("%v is an address of %s, which is no longer a peer: `sluice intercept up` applies the configuration", c.to.Addr(), name)
	case c.uid != 0 && c.uid != c.host.QEMUUID:
		return nil, fmt.Errorf("uid %d may not connect to peers' migration ports: only QEMU (qemu_user) and root may", c.uid)
	}
	return c.host.Peers.Get(name), nil
}

// open makes c's session and its one channel, when it is c's turn. Without a session c is still the
// caller's; without a channel it has been reset, and the session fails.
func (i *carrier) open(ctx context.Context, c *connection) (*stream.Session, *stream.Channel, error) {
	if c.before != nil {
		select {
		case <-c.before.done:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		if c.before.err != nil { // QEMU gives this one up with it
			return nil, nil, c.before.err
		}
	}
	s, err := c.host.Opener(c.peer).Open(ctx, c.entry.Info)
	if err != nil {
		return nil, nil, err
	}
	c.entry.SetSession(s)
	c.entry.SecuredBy(session.BySluice, "")
	if err := s.Call(ctx, callPort, &portCall{c.to.Port()}, nil); err != nil {
		resetTCP(c.TCPConn)
		s.Fail(session.CauseOf(err))
		return s, nil, err
	}
	ch, err := s.OpenChannel(ctx, stream.ChannelIntercept, c.TCPConn)
	return s, ch, err
}

// resetTCP closes c so that its other end sees a failure.
func resetTCP(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
