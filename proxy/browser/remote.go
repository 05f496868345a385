package browser

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/tlsconf"
)

// How many handshakes there are at once.
const (
	maxHandshakes   = 32 // in all
	handshakesOfOne = 4  // of one source
)

// Remote makes a listener for other hosts' browsers. Those get in who show a certificate that is
// good, with a name that web.names has: at each request, as the configuration has it then. Close
// ends all handshakes, and waits for them.
func Remote(ctx context.Context, l net.Listener, now func() *host.Host) net.Listener {
	ctx, cancel := context.WithCancel(ctx)
	r := &remote{Listener: l, now: now, ctx: ctx, cancel: cancel, in: make(chan *Conn), shaking: make(map[netip.Addr]int)}
	r.work.Go(r.run)
	return r
}

type remote struct {
	net.Listener
	now    func() *host.Host
	ctx    context.Context
	cancel context.CancelFunc
	in     chan *Conn // not buffered: whoever is in it has a reader
	work   sync.WaitGroup
	places

	handshakes sync.Mutex
	shaking    map[netip.Addr]int // by source
	total      int
}

// Accept returns a *Conn.
func (r *remote) Accept() (net.Conn, error) {
	select {
	case c := <-r.in:
		return c, nil
	case <-r.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (r *remote) Close() error {
	r.cancel()
	err := r.Listener.Close()
	r.work.Wait()
	return err
}

func (r *remote) run() {
	defer r.cancel()
	for {
		raw, err := r.Listener.Accept()
		if err != nil {
			if r.now().AcceptAgain(r.ctx, "accept a browser's connection", err) {
				continue
			}
			return
		}
		done, err := r.begin(raw)
		if err != nil {
			tell(r.now(), ipOf(raw), err)
			raw.Close()
			continue
		}
		r.work.Go(func() {
			defer done()
			r.admit(raw)
		})
	}
}

func ipOf(c net.Conn) string { return c.RemoteAddr().(*net.TCPAddr).IP.String() }

// begin finds a place for a handshake.
func (r *remote) begin(raw net.Conn) (done func(), err error) {
	from := sockets.Source(raw.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
	r.handshakes.Lock()
	defer r.handshakes.Unlock()
	if r.total >= maxHandshakes || r.shaking[from] >= handshakesOfOne {
		return nil, fmt.Errorf("%s has %d handshakes at once, and all together %d: no more", from, r.shaking[from], r.total)
	}
	r.total++
	r.shaking[from]++
	return func() {
		r.handshakes.Lock()
		defer r.handshakes.Unlock()
		r.total--
		if r.shaking[from]--; r.shaking[from] == 0 {
			delete(r.shaking, from)
		}
	}, nil
}

// admit takes a browser through its handshake, and hands it to Accept.
func (r *remote) admit(raw net.Conn) {
	h := r.now()
	patience := h.Config.Limits.HandshakeTimeout
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	ip := ipOf(raw)
	over, who, err := tlsconf.Accept(ctx, engine{}, raw, tlsconf.Server{
		Credentials: h.Peers.Certs.Current(), Policy: h.Peers.Policies.Host, Name: ip, Protocols: []string{"http/1.1"},
		Authorize: func(p *tlsconf.Peer) error { return named(h, p.Identity) },
	})
	if err != nil {
		if r.ctx.Err() == nil {
			tell(h, ip, err)
		}
		raw.Close()
		return
	}
	c := &Conn{Conn: over, Who: who.Identity.String(), denied: func() error { return named(r.now(), who.Identity) }}
	if err := r.take(c); err != nil {
		tell(h, ip, err)
		over.Close()
		return
	}
	select {
	case r.in <- c:
	case <-r.ctx.Done():
		c.Close()
	}
}

// named says why one with a certificate may not look, or nil.
func named(h *host.Host, id tlsconf.Identity) error {
	rules, err := tlsconf.ParseRules(h.Config.Web.Names)
	if err != nil {
		return err // which the configuration's check would have found
	}
	if _, is := rules.Match(id); !is {
		return fmt.Errorf("the certificate (%s) is valid, but web.names on %s has none of its names%s", id, h.Config.Name, hint(rules.Hint(id)))
	}
	return nil
}

func hint(in string) string {
	if in == "" {
		return ""
	}
	return ": it has one in another form: " + in
}

// engine is crypto/tls as it is.
type engine struct{}

type tlsConn struct{ *tls.Conn }

func (c tlsConn) ConnectionState() (tls.ConnectionState, bool) { return c.Conn.ConnectionState(), true }

func (engine) Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (tlsConn, error) {
	return shake(ctx, tls.Server(raw, cfg))
}

func (engine) Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (tlsConn, error) {
	return shake(ctx, tls.Client(raw, cfg))
}

func shake(ctx context.Context, c *tls.Conn) (tlsConn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return tlsConn{}, err
	}
	return tlsConn{c}, nil
}
