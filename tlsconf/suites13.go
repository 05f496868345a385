package tlsconf

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	_ "unsafe" // for go:linkname
)

// crypto/tls takes its TLS 1.3 suites from two package variables and not from
// Config.CipherSuites, so a policy that leaves one out can be kept to in no other
// way than by changing these. Both may be reached by linkname (crypto/tls/defaults.go,
// go.dev/issue/67401), and both are process-wide: each handshake of this package therefore holds
// the suiteGate over the few instructions in which crypto/tls reads them.
//
//   - A client reads them in makeClientHello, after the hello's random
//     has been read from Config.Rand and before the hello is written.
//   - A server reads them in processClientHello, after the
//     ServerHello's random has been read from Config.Rand and before it writes anything.
//
// So the first read from Config.Rand enters the gate, and the first Write, Read or Close of the
// connection after it leaves it. Nothing waits for the network in between. That this holds is
// proved by TestSuites13 with real handshakes, and Policy.verify refuses the handshake if it ever
// does not.

//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

//go:linkname defaultCipherSuitesTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var defaultCipherSuitesTLS13NoAES []uint16

// preset are the variables as they were: everything allowed.
var preset = [2][]uint16{slices.Clone(defaultCipherSuitesTLS13), slices.Clone(defaultCipherSuitesTLS13NoAES)}

// suiteMask has the bit 1<<n for the suite 0x1301+n.
type suiteMask uint8

const allSuites13 suiteMask = 1<<0 | 1<<1 | 1<<2

func maskOf(ids []uint16) (m suiteMask) {
	for _, id := range ids {
		m |= 1 << (id - tls.TLS_AES_128_GCM_SHA256)
	}
	return m
}

func (m suiteMask) filter(ids []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(ids), func(id uint16) bool { return m&maskOf([]uint16{id}) == 0 })
}

// suiteGate lets handshakes in that have the same suites. They come in the order
// in which they arrive, so that none waits for ever.
var suiteGate = newGate()

type gate struct {
	mu           sync.Mutex
	moved        sync.Cond
	next, served uint64 // tickets
	mask         suiteMask
	inside       int
}

func newGate() *gate {
	g := &gate{mask: allSuites13}
	g.moved.L = &g.mu
	return g
}

func (g *gate) enter(m suiteMask) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ticket := g.next
	g.next++
	for ticket != g.served || g.inside > 0 && g.mask != m {
		g.moved.Wait()
	}
	g.served++
	g.inside++
	if g.mask != m {
		g.mask = m
		defaultCipherSuitesTLS13 = m.filter(preset[0])
		defaultCipherSuitesTLS13NoAES = m.filter(preset[1])
	}
	g.moved.Broadcast()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	// Code that does not go through the gate finds the variables as they were, mostly.
	if g.inside == 0 && g.mask != allSuites13 {
		g.mask = allSuites13
		defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES = preset[0], preset[1]
	}
	g.moved.Broadcast()
}

// Gate prepares one handshake. A configuration whose options.Policy leaves out a TLS 1.3 suite
// needs it: without it the handshake fails, rather than offer all suites. Other configurations of a
// process that has such ones should go through it too.
//
// The handshake, client or server, is to be run over the returned connection with the returned
// configuration. Once it is done the returned connection does no more than pass calls on to conn,
// which its method NetConn returns and which may then be used directly. Closing it closes conn.
func gated(conn net.Conn, cfg *tls.Config) (net.Conn, *tls.Config) {
	g := &gatedConn{Conn: conn, mask: allSuites13}
	if m, ok := cfg.Rand.(maskedRand); ok {
		g.mask = suiteMask(m)
	}
	cfg = cfg.Clone()
	cfg.Rand = gateRand{g}
	return g, cfg
}

// maskedRand is the Config.Rand of a configuration that leaves out suites. It fails if it comes to
// be used, for then the handshake does not go through gated, and would offer all suites.
type maskedRand suiteMask

var errNotGated = errors.New("this TLS policy leaves out TLS 1.3 suites: its handshakes go through tlsconf.Connect and tlsconf.Accept alone")

func (maskedRand) Read([]byte) (int, error) { return 0, errNotGated }

// gateRand enters the gate at the first read.
type gateRand struct{ conn *gatedConn }

func (r gateRand) Read(p []byte) (int, error) {
	r.conn.enter()
	return rand.Read(p)
}

// gatedConn leaves the gate at the first use of the connection.
type gatedConn struct {
	net.Conn
	mask  suiteMask
	state atomic.Uint32
}

const (
	gateAhead  = iota
	gateInside // and the next Read, Write or Close leaves
	gatePassed
)

// NetConn returns the connection below, as tls.Conn's method of that name does.
func (c *gatedConn) NetConn() net.Conn { return c.Conn }

// enter is called by the goroutine that runs the handshake, and by it alone.
func (c *gatedConn) enter() {
	if c.state.Load() == gateAhead {
		suiteGate.enter(c.mask)
		c.state.Store(gateInside)
	}
}

func (c *gatedConn) leave() {
	if c.state.CompareAndSwap(gateInside, gatePassed) {
		suiteGate.leave()
	}
}

func (c *gatedConn) Read(p []byte) (int, error) {
	c.leave()
	return c.Conn.Read(p)
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.leave()
	return c.Conn.Write(p)
}

// Close leaves the gate too: a handshake that is given up in the middle must not stop all others.
func (c *gatedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
