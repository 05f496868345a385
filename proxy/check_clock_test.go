package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// A sluice whose clock, dates or version are its own.
func TestCheckPeerOutOfTime(t *testing.T) {
	ca, err := pki.NewCA(pki.Authority{Name: "CA", NotBefore: time.Now().AddDate(-1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, c := range []struct {
		name              string
		host              pki.Host
		ahead             time.Duration // host-b's clock
		check, code, side string
		result            string
		words             []string
	}{
		{"expired", pki.Host{NotBefore: ago(48 * time.Hour), NotAfter: ago(24 * time.Hour)}, -36 * time.Hour, "TLS", "expired", "here", control.ResultError,
			[]string{"this host's clock says " + time.Now().UTC().Format("2006-01-02 "), "host-b's says " + ago(36*time.Hour).UTC().Format("2006-01-02 15:"), ago(24 * time.Hour).UTC().Format("2006-01-02 15:")}},
		{"not yet valid", pki.Host{NotBefore: ago(-24 * time.Hour), NotAfter: ago(-48 * time.Hour)}, 36 * time.Hour, "TLS", "not-yet-valid", "here", control.ResultError,
			[]string{"this host's clock says " + time.Now().UTC().Format("2006-01-02 "), "host-b's says " + ago(-36*time.Hour).UTC().Format("2006-01-02 15:"), "set the clocks right"}},
		{"this host's is expired there, by an alert alone", pki.Host{}, 400 * 24 * time.Hour, "TLS", "expired", "there", control.ResultError,
			[]string{"refused this host's certificate as out of date", "set the clocks right"}},
		{"clocks apart", pki.Host{}, 90 * time.Second, "clock", "clock", "", control.ResultWarning, []string{"1m30s apart", "NTP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := lonely(t, ca, standIn(t, ca, ca, c.host, c.ahead), "")
			finds(t, a.checkPeer(), c.result, c.check, c.code, c.side, c.words...)
		})
	}
}

// A sluice whose clock tells it that this host's certificate is out of date.
func TestCheckPeerByWhoseClockWeAreOutOfDate(t *testing.T) {
	ca, err := pki.NewCA(pki.Authority{Name: "CA", NotBefore: time.Now().AddDate(-5, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for code, ahead := range map[string]time.Duration{"expired": 400 * 24 * time.Hour, "not-yet-valid": -400 * 24 * time.Hour} {
		t.Run(code, func(t *testing.T) {
			a, b := pairOfHosts(t, ca)
			b.clock = func() time.Time { return time.Now().Add(ahead) }
			b.start("", hosttest.PeerA)
			a.start("", peerTable(b, ""))
			leaf := a.now().Peers.Certs.Current().Leaf
			end := leaf.NotAfter
			if ahead < 0 {
				end = leaf.NotBefore
			}
			finds(t, a.checkPeer(), control.ResultError, "answer", code, "there", "host-b refuses this host: its certificate", `"CN=host-a,O=CA"`,
				"current time "+b.clock().UTC().Format("2006-01-02T15:"), end.UTC().Format(time.RFC3339), "this host's clock says "+time.Now().UTC().Format("2006-01-02 15:"))
			// Whoever asks for more is told the same.
			hosttest.Says(t, a.ask("host-b"), "host-b: this host refused the peer", "out of date")
		})
	}
}

// A CA between this host's and the peer's certificate that has run out, which
// the peer's own clock does not say.
func TestCheckPeerOfACAThatRanOut(t *testing.T) {
	ca, err := pki.NewCA(pki.Authority{Name: "CA", NotBefore: time.Now().AddDate(-1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	between, err := ca.Sub(pki.Authority{Name: "sub CA", NotBefore: ago(72 * time.Hour), NotAfter: ago(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	there := standIn(t, ca, between, pki.Host{NotBefore: ago(48 * time.Hour), NotAfter: ago(-48 * time.Hour)}, -36*time.Hour)
	finds(t, lonely(t, ca, there, "").checkPeer(), control.ResultError, "TLS", "expired", "here", `that of a CA above it, "CN=sub CA", is out of date`,
		"this host's clock says "+time.Now().UTC().Format("2006-01-02 "), "host-b's says "+ago(36*time.Hour).UTC().Format("2006-01-02 15:"))
}

// standIn is a sluice of which little is left: host-b with a clock of its own,
// and a certificate by the CA or one below it.
func standIn(t *testing.T, ca, by *pki.CA, host pki.Host, ahead time.Duration) string {
	t.Helper()
	host.Names = []string{"host-b"}
	clock := func() time.Time { return time.Now().Add(ahead) }
	acceptor := &stream.Acceptor{Host: "host-b"}
	terms := &stream.Terms{Ask: func(_ context.Context, peer, name string, _ []byte) (any, error) {
		return &check.Answer{Host: "host-b", Version: "test", Time: clock(), You: peer, Libvirt: "9.0.0"}, nil
	}}
	cfg := serverConfig(t, ca, by, host)
	cfg.Time = clock
	return hosttest.Serve(t, func(c net.Conn) {
		conn, err := relay.Server(t.Context(), c, cfg)
		if err == nil {
			acceptor.Serve(t.Context(), conn, func() (stream.Who, *stream.Terms) { return stream.Who{Peer: "host-a"}, terms })
		}
	})
}

func serverConfig(t *testing.T, ca, by *pki.CA, host pki.Host) *tls.Config {
	t.Helper()
	pair, err := by.Issue(host)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{peer.ALPN}}
}

// Versions that do not fit: of the protocol, and of what may be asked.
func TestCheckPeerOfAnotherVersion(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	t.Run("of the protocol", func(t *testing.T) {
		cfg := serverConfig(t, ca, ca, pki.Host{Names: []string{"host-b"}})
		address := hosttest.Serve(t, func(c net.Conn) {
			conn := tls.Server(c, cfg)
			body, err := msgpack.Marshal(map[string]any{"kind": "accept", "version": 2, "host": "host-b"})
			if err != nil {
				t.Error(err)
			}
			conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
			io.Copy(io.Discard, conn)
		})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "answer", "version", "", "chose version 2 of the protocol, this host speaks 1", "update the older sluice")
	})
	t.Run("that knows no such question", func(t *testing.T) {
		a, b := pairOfHosts(t, ca)
		b.start("", hosttest.PeerA)
		who := stream.Who{Peer: "host-a"}
		terms := &stream.Terms{Ask: func(ctx context.Context, peer, name string, body []byte) (any, error) {
			return b.answer(ctx, b.now(), who, "newer than "+name, body)
		}}
		cfg := serverConfig(t, ca, ca, pki.Host{Names: []string{"host-b"}})
		older := hosttest.Serve(t, func(c net.Conn) {
			if conn, err := relay.Server(t.Context(), c, cfg); err == nil {
				b.acceptor.Serve(t.Context(), conn, func() (stream.Who, *stream.Terms) { return who, terms })
			}
		})
		a.start("", "[peers.host-b]\naddress = '"+older+"'\n")
		finds(t, a.checkPeer(), control.ResultError, "answer", "version", "there", "there is no question", "update the older sluice")
	})
}
