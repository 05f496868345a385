package record

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds everything that must not hang.
const soon = 20 * time.Second

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// secretOf is a made-up secret for a suite.
func secretOf(s *suite, seed byte) []byte {
	return bytes.Repeat([]byte{seed}, s.hash().Size())
}

// testSuite is a suite whose ciphers panic when a nonce is used twice with a key for sealing.
func testSuite(id uint16) *suite {
	s := *suites[id]
	var mu sync.Mutex
	seen := map[string]bool{}
	s.aead = func(key []byte) (cipher.AEAD, error) {
		a, err := suites[id].aead(key)
		return onceAEAD{a, string(key), &mu, seen}, err
	}
	return &s
}

type onceAEAD struct {
	cipher.AEAD
	key  string
	mu   *sync.Mutex
	seen map[string]bool
}

func (a onceAEAD) Seal(dst, nonce, plain, data []byte) []byte {
	a.mu.Lock()
	use := a.key + string(nonce)
	if a.seen[use] {
		panic("a nonce was used twice with one key")
	}
	a.seen[use] = true
	a.mu.Unlock()
	return a.AEAD.Seal(dst, nonce, plain, data)
}

func eachSuite(t *testing.T, f func(t *testing.T, id uint16)) {
	for id := range suites {
		t.Run(tls.CipherSuiteName(id), func(t *testing.T) { f(t, id) })
	}
}

// pair is two connections over TCP, without a handshake.
func pair(t testing.TB, s *suite) (client, server *Conn) {
	t.Helper()
	a, b := tcpPair(t)
	return over(t, s, IsClient, a), over(t, s, IsServer, b)
}

// over is one end.
func over(t testing.TB, s *suite, role Role, raw net.Conn) *Conn {
	t.Helper()
	in, out := secretOf(s, 1), secretOf(s, 2)
	if role == IsServer {
		in, out = out, in
	}
	c, err := newConn(raw, s, role, in, out)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// wire is a transport that reads from one place and writes to another. Its
// net.Conn half exists for the deadlines and closing that a Conn may ask for.
type wire struct {
	net.Conn
	io.Reader
	io.Writer
}

func (w wire) Read(p []byte) (int, error)       { return w.Reader.Read(p) }
func (w wire) Write(p []byte) (int, error)      { return w.Writer.Write(p) }
func (w wire) Close() error                     { return nil }
func (w wire) SetDeadline(time.Time) error      { return nil }
func (w wire) SetWriteDeadline(time.Time) error { return nil }

// flight seals with the server's end what f sends, and returns the bytes.
func flight(t testing.TB, s *suite, f func(c *Conn)) []byte {
	t.Helper()
	var b bytes.Buffer
	f(over(t, s, IsServer, wire{Writer: &b}))
	return b.Bytes()
}

// reader is a client's end that receives what r has.
func reader(t testing.TB, s *suite, r io.Reader) *Conn {
	return over(t, s, IsClient, wire{Reader: r, Writer: io.Discard})
}

func noise(n int) []byte {
	b := make([]byte, n)
	mrand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "record"},
		DNSNames:     []string{"record"},
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

// mutualTLS serves both ends.
func mutualTLS() *tls.Config {
	cert := certificate()
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "record",
	}
}

// certificateFiles writes them where other programs read them.
func certificateFiles(t testing.TB) (cert, key string) {
	t.Helper()
	c := certificate()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		key:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func mustWrite(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if n, err := w.Write(b); n != len(b) || err != nil {
		t.Errorf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

func mustRead(t testing.TB, r io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		t.Errorf("read %d of %d bytes: %v", n, len(want), err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came out changed", len(want))
	}
}
