package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv("RELAY_BENCH"); spec != "" {
		if err := benchChild(spec); err != nil {
			fmt.Fprintln(os.Stderr, spec, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// patienceOfTests bounds everything that must not hang.
const patienceOfTests = 20 * time.Second

type socketPair func(t testing.TB) (a, b net.Conn)

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return dialPair(t, l)
}

func unixPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return dialPair(t, l)
}

func dialPair(t testing.TB, l net.Listener) (a, b net.Conn) {
	t.Helper()
	defer l.Close()
	a, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// wrapped is a socket that is none of the types that can be spliced.
type wrapped struct{ net.Conn }

func (w wrapped) CloseWrite() error { return w.Conn.(halfCloser).CloseWrite() }

func wrappedPair(t testing.TB) (a, b net.Conn) {
	a, b = unixPair(t)
	return wrapped{a}, wrapped{b}
}

// A link makes the two ends of a channel between two relays.
type link func(t testing.TB) (a, b Conn)

func plainLink(pair socketPair) link {
	return func(t testing.TB) (Conn, Conn) {
		a, b := pair(t)
		return Plain(a), Plain(b)
	}
}

func tlsLink(version uint16, path Path) link {
	return func(t testing.TB) (Conn, Conn) {
		a, b := tcpPair(t)
		return handshakeOver(t, a, b, version, path)
	}
}

func handshakeOver(t testing.TB, a, b net.Conn, version uint16, path Path) (ca, cb Conn) {
	t.Helper()
	cfg := mutualTLS(version)
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { cb, err = TLS{Path: path}.Server(ctx, b, cfg) })
	ca, cerr := TLS{Path: path}.Client(ctx, a, cfg)
	wg.Wait()
	if err != nil || cerr != nil {
		t.Fatal(cerr, err)
	}
	return ca, cb
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "relay"},
		DNSNames:     []string{"relay"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func certificatePEM() (cert, key []byte) {
	c := certificate()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// mutualTLS serves both ends.
func mutualTLS(version uint16) *tls.Config {
	cert := certificate()
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return &tls.Config{
		MinVersion: version, MaxVersion: version,
		Certificates: []tls.Certificate{cert},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "relay",
	}
}

// hop is a way to carry a channel, with what Result.Path must say of it.
type hop struct {
	name  string
	local socketPair
	link  link
	path  Path
	far   Path // of the other end, if it is not path
}

// at is the path of one end.
func (h hop) at(i int) Path {
	if i == 1 && h.far != "" {
		return h.far
	}
	return h.path
}

var hops = []hop{
	{name: "splice unix-tcp", local: unixPair, link: plainLink(tcpPair), path: Splice},
	{name: "splice unix-unix", local: unixPair, link: plainLink(unixPair), path: Splice},
	{name: "splice tcp-tcp", local: tcpPair, link: plainLink(tcpPair), path: Splice},
	{name: "copy", local: wrappedPair, link: plainLink(tcpPair), path: Copy},
	{name: "records", local: unixPair, link: tlsLink(tls.VersionTLS13, Records), path: Records},
	{name: "records tcp", local: tcpPair, link: tlsLink(tls.VersionTLS13, Records), path: Records},
	{name: "records wrapped", local: wrappedPair, link: tlsLink(tls.VersionTLS13, Auto), path: Records},
	{name: "crypto/tls 1.3", local: unixPair, link: tlsLink(tls.VersionTLS13, CryptoTLS), path: CryptoTLS},
	{name: "crypto/tls 1.2", local: tcpPair, link: tlsLink(tls.VersionTLS12, Auto), path: CryptoTLS},
}

func eachHop(t *testing.T, f func(t *testing.T, h hop)) {
	for _, h := range hops {
		t.Run(h.name, func(t *testing.T) {
			a, b := tcpPair(t) // from the first on Go's poller has descriptors too
			a.Close()
			b.Close()
			poller.ask() // and so has what asks it
			fds := openFDs(t)
			f(t, h)
			dropPipes()
			if n := buffer.Lent(); n != 0 {
				t.Errorf("%d bytes of memory were not given back", n)
			}
			if n := permits.out(); n != 0 {
				t.Errorf("%d permits were not given back", n)
			}
			if now := openFDs(t); now > fds {
				t.Errorf("%d file descriptors before, %d after", fds, now)
			}
		})
	}
}

func openFDs(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// dropPipes closes the idle pipes, which are meant to stay open.
func dropPipes() {
	pipes.Lock()
	defer pipes.Unlock()
	for _, p := range pipes.free {
		unix.Close(p.r)
		unix.Close(p.w)
	}
	pipes.free = nil
}

// chain is an application on each end of two relays:
//
//	app[0] -- relay 0 ==link== relay 1 -- app[1]
type chain struct {
	app    [2]net.Conn
	link   [2]Conn
	local  [2]net.Conn
	cancel [2]context.CancelCauseFunc
	result [2]chan Result
	count  [2]Counters
	hop    hop
}

func (h hop) start(t testing.TB, limits ...Limits) *chain {
	t.Helper()
	var opts [2]Options
	for i, l := range limits {
		opts[i].Limits = l
	}
	return h.startWith(t, opts)
}

func (h hop) startWith(t testing.TB, opts [2]Options) *chain {
	t.Helper()
	c := &chain{hop: h}
	c.link[0], c.link[1] = h.link(t)
	for i := range 2 {
		c.app[i], c.local[i] = h.local(t)
		opts := opts[i]
		opts.Counters = &c.count[i]
		ctx, cancel := context.WithCancelCause(context.Background())
		c.cancel[i] = cancel
		c.result[i] = make(chan Result, 1)
		t.Cleanup(func() { cancel(nil) })
		go func() { c.result[i] <- Run(ctx, c.local[i], c.link[i], opts) }()
		deadline := time.Now().Add(patienceOfTests)
		c.app[i].SetDeadline(deadline)
	}
	return c
}

// wait returns a relay's result, which must come soon. The application's
// sockets are closed after both.
func (c *chain) wait(t testing.TB, i int) Result {
	t.Helper()
	select {
	case r := <-c.result[i]:
		c.result[i] <- r
		return r
	case <-time.After(patienceOfTests):
		t.Fatalf("relay %d still runs", i)
	}
	panic("unreachable")
}

func (c *chain) close(t testing.TB) {
	t.Helper()
	for i := range 2 {
		c.wait(t, i)
		c.app[i].Close()
	}
}

// orderly ends the test of a chain that must have ended without an error.
func (c *chain) orderly(t testing.TB, there, back int64) {
	t.Helper()
	for i := range 2 {
		want := Result{Sent: there, Received: back, Path: c.hop.at(i)}
		if i == 1 {
			want.Sent, want.Received = back, there
		}
		if got := c.wait(t, i); got != want {
			t.Errorf("relay %d: %+v, want %+v", i, got, want)
		}
		if s, r := c.count[i].Sent.Load(), c.count[i].Received.Load(); s != want.Sent || r != want.Received {
			t.Errorf("relay %d counted %d sent, %d received, want %d, %d", i, s, r, want.Sent, want.Received)
		}
	}
	c.close(t)
}

func noise(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	copy(seed[:], fmt.Sprint(n))
	mrand.NewChaCha8(seed).Read(b)
	return b
}

func closeWriteOf(t testing.TB, c net.Conn) {
	t.Helper()
	if err := closeWrite(c); err != nil {
		t.Error(err)
	}
}

func writeAll(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
}

// expect reads exactly want.
func expect(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Errorf("reading %d bytes: %v", len(want), err)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came out changed: %x, want %x", len(want), sha256.Sum256(got), sha256.Sum256(want))
	}
}

// expectEnd reads want and then the end.
func expectEnd(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	expect(t, c, want)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes and %v after the stream, want its end", n, err)
	}
}
