package record

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf"
)

func TestNetConn(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			a, b := pair(t, testSuite(id))
			a.keyRecords, b.keyRecords = 50, 70 // keys change all the time
			return a, b, func() { a.Close(); b.Close() }, nil
		})
	})
}

// With crypto/tls on the other end, each cipher, in each role and direction.
func TestAgainstCryptoTLS(t *testing.T) { eachSuite(t, testAgainstCryptoTLS) }

func testAgainstCryptoTLS(t *testing.T, id uint16) {
	sizes := []int{0, 1, 16383, 16384, 16385, BatchBytes - 1, BatchBytes, BatchBytes + 1}
	for range 10 {
		sizes = append(sizes, rand.IntN(300_000))
	}
	for _, role := range []Role{IsClient, IsServer} {
		for _, keys := range []uint64{keyRecords, 7} {
			c, peer := withCryptoTLS(t, role, id)
			if got := peer.ConnectionState().CipherSuite; got != id {
				t.Fatalf("the handshake came to %s", tls.CipherSuiteName(got))
			}
			c.keyRecords = keys
			for _, n := range sizes {
				want := noise(n)
				var wg sync.WaitGroup
				wg.Go(func() { mustWrite(t, c, want) })
				mustRead(t, peer, want)
				wg.Go(func() { mustWrite(t, peer, want) })
				mustRead(t, c, want)
				wg.Wait()
			}
			if keys == 7 && (c.KeyUpdatesSent.Load() < 5 || c.KeyUpdatesReceived.Load() < 5) {
				t.Errorf("%d KeyUpdates sent, %d received: they were to be many", c.KeyUpdatesSent.Load(), c.KeyUpdatesReceived.Load())
			}
			// Half-close each way.
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the peer reads %d, %v, want the end", n, err)
			}
			mustWrite(t, peer, []byte("still here"))
			mustRead(t, c, []byte("still here"))
			peer.CloseWrite()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v, want the end", n, err)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("wrote after CloseWrite")
			}
			c.Close()
			peer.Close()
		}
	}
}

// withCryptoTLS is a connection with a *tls.Conn on its other end.
func withCryptoTLS(t *testing.T, role Role, id uint16) (*Conn, *tls.Conn) {
	t.Helper()
	raw, b := tcpPair(t)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	creds, policy := only(t, id)
	var peer *tls.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		p, err := handshake(ctx, cryptoTLS{}, b, !role, creds, policy)
		if err != nil {
			t.Error(err)
			return
		}
		peer = p.Conn
		// Sent with the handshake's last flight, where there is one.
		peer.Write([]byte("early"))
	})
	c, err := handshake(ctx, records{}, raw, role, creds, policy)
	wg.Wait()
	if err != nil || peer == nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(soon)
	c.SetDeadline(deadline)
	peer.SetDeadline(deadline)
	mustRead(t, c.Conn, []byte("early"))
	return c.Conn, peer
}

// handshake runs one that holds to a policy.
func handshake[C tlsconf.Conn](ctx context.Context, engine tlsconf.Engine[C], raw net.Conn, role Role, creds *tlsconf.Credentials, policy *tlsconf.Policy) (c C, err error) {
	if role == IsServer {
		c, _, err = tlsconf.Accept(ctx, engine, raw, tlsconf.Server{Credentials: creds, Policy: policy, Authorize: func(*tlsconf.Peer) error { return nil }})
		return c, err
	}
	expect, err := tlsconf.ParseRules([]string{"record"})
	if err == nil {
		c, _, err = tlsconf.Connect(ctx, engine, raw, tlsconf.Client{Credentials: creds, Policy: policy, Expect: expect})
	}
	return c, err
}

// records is this package's engine, and cryptoTLS the standard library's.
type records struct{}

type recordConn struct{ *Conn }

func (c recordConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.Conn.ConnectionState(), true
}

func (records) Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (recordConn, error) {
	c, err := performAndTake(ctx, raw, cfg, IsClient)
	return recordConn{c}, err
}

func (records) Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (recordConn, error) {
	c, err := performAndTake(ctx, raw, cfg, IsServer)
	return recordConn{c}, err
}

type cryptoTLS struct{}

type tlsConn struct{ *tls.Conn }

func (c tlsConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.Conn.ConnectionState(), true
}

func (cryptoTLS) Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (tlsConn, error) {
	c := tlsConn{tls.Client(raw, cfg)}
	return c, c.HandshakeContext(ctx)
}

func (cryptoTLS) Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (tlsConn, error) {
	c := tlsConn{tls.Server(raw, cfg)}
	return c, c.HandshakeContext(ctx)
}

// only is this host's certificate, and a policy of one suite.
func only(t *testing.T, id uint16) (*tlsconf.Credentials, *tlsconf.Policy) {
	t.Helper()
	cipher := map[uint16]string{tls.TLS_AES_128_GCM_SHA256: "AES-128-GCM", tls.TLS_AES_256_GCM_SHA384: "AES-256-GCM", tls.TLS_CHACHA20_POLY1305_SHA256: "CHACHA20-POLY1305"}[id]
	policy, err := tlsconf.ParsePriority("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+"+cipher, &tlsconf.System{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca, err := pki.NewCA(pki.Authority{Name: "record CA"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Host{Names: []string{"record"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.WriteLayout(dir, pki.LayoutQEMU, pki.Set{CA: ca, Server: pair, Client: pair}); err != nil {
		t.Fatal(err)
	}
	found, err := tlsconf.Find(tlsconf.Search{Layout: "qemu", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := tlsconf.Load(found)
	if err != nil {
		t.Fatal(err)
	}
	return credentials, policy
}

// Both ends change keys at once and all the time, asked and unasked, while both
// send. testSuite sees to the nonces.
func TestKeyUpdatesUnderLoad(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		a, b := pair(t, testSuite(id))
		a.keyRecords, b.keyRecords = 3, 5
		a.SetWorkers(4)
		b.SetWorkers(3)
		want := noise(3 << 20)
		var wg sync.WaitGroup
		for _, c := range []*Conn{a, b} {
			wg.Go(func() {
				for p := want; len(p) > 0; {
					n := min(len(p), 1+rand.IntN(70_000))
					mustWrite(t, c, p[:n])
					p = p[n:]
				}
				if err := c.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
		for _, c := range []*Conn{a, b} {
			if c.KeyUpdatesSent.Load() < 30 {
				t.Errorf("%d KeyUpdates sent", c.KeyUpdatesSent.Load())
			}
		}
	})
}

// Several workers seal and open, in order, and see each wrong record.
func TestWorkers(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		want := noise(3*BatchBytes + 77)
		f := flight(t, testSuite(id), func(c *Conn) {
			c.SetWorkers(4)
			c.Write(want)
			c.closeNotify()
		})
		for _, n := range []int{1, 2, 4, 100} {
			c := reader(t, suites[id], bytes.NewReader(f))
			c.SetWorkers(n)
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d workers: %d bytes, %v, want %d", n, len(got), err, len(want))
			}
		}
		for _, at := range []int{0, 1, 20, 31, 32, 50, 95} {
			bad := bytes.Clone(f)
			bad[at*stride+1000] ^= 1
			c := reader(t, suites[id], bytes.NewReader(bad))
			c.SetWorkers(4)
			got, err := io.ReadAll(c)
			if !errors.Is(err, tls.AlertError(alertBadRecordMAC)) || !bytes.Equal(got, want[:at*plainMax]) {
				t.Errorf("record %d wrong: %d bytes, %v, want %d", at, len(got), err, at*plainMax)
			}
		}
	})
}

// A KeyUpdate may be padded to a full record, also by a sender that pads nothing
// else: what workers have opened ahead of it is opened again, with the new key.
func TestWorkersAndPaddedKeyUpdates(t *testing.T) {
	s := testSuite(tls.TLS_AES_128_GCM_SHA256)
	full := noise(plainMax)
	var want []byte
	f := flight(t, s, func(c *Conn) {
		for range 3 {
			for range Slots / 2 {
				c.transport.Write(raw(c, typeData, full, 0))
				want = append(want, full...)
			}
			c.transport.Write(raw(c, typeHandshake, []byte{messageKeyUpdate, 0, 0, 1, 0}, plainMax-5))
			c.out.half.update()
		}
		c.closeNotify()
	})
	c := reader(t, s, bytes.NewReader(f))
	c.SetWorkers(4)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
}

// A receiver whose peer never changes its key asks for it, though it has nothing to send itself.
func TestReceiverAsksForKey(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.keyRecords = 10
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.ReadAll(a); err != nil {
			t.Error(err)
		}
	})
	for began := time.Now(); b.KeyUpdatesReceived.Load() < 3; {
		mustWrite(t, a, []byte("x"))
		mustRead(t, b, []byte("x"))
		if time.Since(began) > soon {
			t.Fatalf("asked %d times, answered %d times", b.KeyUpdatesSent.Load(), a.KeyUpdatesSent.Load())
		}
	}
	b.asking.Wait() // what was asked is counted after it has left
	if asked, answered := b.KeyUpdatesSent.Load(), a.KeyUpdatesSent.Load(); asked < 3 || answered < 3 {
		t.Errorf("asked %d times, answered %d times", asked, answered)
	}
	if err := b.CloseWrite(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	a.Close()
	b.Close()
}

// A receiver goes on although its peer takes nothing, not even the question for a new key.
func TestAskingDoesNotWait(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.keyRecords = 10
	full := make(chan struct{})
	b.Over(wire{b.raw, b.raw, writerFunc(func([]byte) (int, error) { <-full; return 0, net.ErrClosed })})
	want := noise(30 * plainMax)
	var wg sync.WaitGroup
	wg.Go(func() { mustWrite(t, a, want) })
	b.SetReadDeadline(time.Now().Add(soon))
	mustRead(t, b, want)
	wg.Wait()
	b.raw.Close()
	close(full)
	b.Release()
	a.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Bytes that a deadline stopped half-way leave later, once.
func TestDeadlineLosesNothing(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	var want []byte
	stopped := 0
	for i := 0; stopped < 3; i++ {
		p := bytes.Repeat([]byte{byte(i)}, 300_000)
		a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := a.Write(p)
		want = append(want, p[:n]...)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		stopped++
	}
	a.SetWriteDeadline(time.Time{})
	var wg sync.WaitGroup
	wg.Go(func() {
		mustWrite(t, a, []byte("end"))
		a.CloseWrite()
	})
	got, err := io.ReadAll(b)
	wg.Wait()
	if want = append(want, "end"...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d, unchanged", len(got), err, len(want))
	}
	b.Close()
}

// A write that failed may have sent a part of a record. Nothing follows it.
func TestNothingAfterAnError(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.raw.(*net.TCPConn).SetLinger(0)
	b.raw.Close()
	var err error
	for err == nil {
		_, err = a.Write(noise(100_000))
	}
	before := a.out.half.seq
	if _, again := a.Write([]byte("x")); again == nil || again.Error() != err.Error() {
		t.Errorf("the next write: %v, want %v", again, err)
	}
	if a.CloseWrite() == nil {
		t.Error("closed in order after an error")
	}
	if a.out.half.seq != before {
		t.Error("records were sealed after an error")
	}
}

// Whatever the config and the config for one client say, the secrets are found.
func TestConfigs(t *testing.T) {
	var log bytes.Buffer
	base := mutualTLS()
	logging := base.Clone()
	logging.KeyLogWriter = &log
	perClient := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return base, nil }}
	noOther := base.Clone()
	noOther.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	for name, cfg := range map[string]*tls.Config{"plain": base, "key log": logging, "per client": perClient, "none per client": noOther} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			var client *Conn
			var cerr error
			var wg sync.WaitGroup
			wg.Go(func() { client, cerr = Client(t.Context(), a, base) })
			server, err := Server(t.Context(), b, cfg)
			wg.Wait()
			if err != nil || cerr != nil {
				t.Fatal(err, cerr)
			}
			mustWrite(t, client, []byte("x"))
			mustRead(t, server, []byte("x"))
			if len(server.ConnectionState().PeerCertificates) != 1 {
				t.Error("the client's certificate is missing")
			}
			client.Close()
			server.Close()
		})
	}
	if !bytes.Contains(log.Bytes(), []byte("SERVER_TRAFFIC_SECRET_0")) {
		t.Error("the caller's own key log was not written")
	}
}

func TestTLS12IsUnsupported(t *testing.T) {
	a, b := tcpPair(t)
	cfg := mutualTLS()
	cfg.MaxVersion = tls.VersionTLS12
	go Server(t.Context(), b, cfg)
	if _, err := Client(t.Context(), a, mutualTLS()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket: %v, want it closed", err)
	}
}

func TestNoAllocations(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		a, b := pair(t, suites[id])
		var batch Batch
		defer batch.Release()
		got := testing.AllocsPerRun(100, func() {
			n := batch.Room()
			if err := a.Send(&batch, n); err != nil {
				t.Fatal(err)
			}
			batch.Sent(n)
			for n > 0 {
				plain, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range plain {
					n -= len(p)
				}
			}
		})
		if got > 2 { // batches grow in the first rounds
			t.Errorf("%v allocations for each batch", got)
		}
		a.Close()
		b.Close()
	})
}
