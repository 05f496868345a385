package record

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf"
)

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
