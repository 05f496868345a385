package proxy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// checkPeer checks host-b from h.
func (h *testHost) checkPeer() []control.Finding {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	r, err := control.New(h.path("run/control.sock")).Check(ctx, &control.CheckRequest{Peers: []string{"host-b"}})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Peer != "host-b" {
			h.t.Errorf("about another peer: %+v", f)
		}
	}
	return r.Findings
}

// finds wants one finding of this result and code, and no error besides.
func finds(t *testing.T, found []control.Finding, result, check, code, side string, words ...string) {
	t.Helper()
	ok := false
	for _, f := range found {
		switch {
		case f.Result == result && f.Check == check && f.Code == code && f.Side == side:
			ok = true
			for _, w := range words {
				if !strings.Contains(f.Text+"\n"+f.Remedy, w) {
					t.Errorf("%q is not in\n%s\n%s", w, f.Text, f.Remedy)
				}
			}
		case f.Result == control.ResultError:
			t.Errorf("also: %+v", f)
		}
	}
	if !ok {
		t.Errorf("no %s of %q with code %q and side %q among\n%+v", result, check, code, side, found)
	}
}

// What keeps host-a from host-b, told apart, with daemons on both.
func TestCheckPeerTellsRefusalsApart(t *testing.T) {
	ca, other, namesake := newAuthority(t, "CA"), newAuthority(t, "another CA"), newAuthority(t, "CA")
	const only13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	revoke := func(h *testHost, p *pki.Pair) string {
		list, err := ca.CRL(pki.Revocation{Number: 1, Revoked: append(revoked(nil), p.Cert)})
		if err != nil {
			h.t.Fatal(err)
		}
		h.put("crl.pem", list)
		return "crl = '" + h.path("crl.pem") + "'\n"
	}
	for _, c := range []struct {
		name              string
		set               func(a, b *testHost) (aTables, bTables string)
		aTop, bTop        string
		bPeers            string
		check, code, side string
		words             []string
	}{
		{name: "libvirt behind it does not answer", check: "libvirt", code: "libvirt", words: []string{"host-b reaches no libvirt", "start libvirtd"}},
		{name: "wrong CA here", check: "TLS", code: "wrong-ca", side: "here", words: []string{`issued by "CN=another CA"`, "this host's CA file"},
			set: func(a, b *testHost) (string, string) {
				b.trust(ca, other)
				b.certify(other, pki.Host{})
				return "", ""
			}},
		{name: "wrong CA there", check: "TLS", code: "wrong-ca", side: "there", words: []string{`issued by "CN=another CA"`, "host-b trusts CN=CA", "host-b's CA file"},
			set: func(a, b *testHost) (string, string) {
				a.trust(ca, other)
				a.certify(other, pki.Host{})
				return "", ""
			}},
		{name: "wrong CA of the same name there", check: "TLS", code: "wrong-ca", side: "there", words: []string{"does not come from a CA that the peer trusts"},
			set: func(a, b *testHost) (string, string) {
				a.trust(ca, namesake)
				a.certify(namesake, pki.Host{})
				return "", ""
			}},
		{name: "name not in the SAN", check: "TLS", code: "name", side: "here", words: []string{"it holds DNS:host-x, DNS:host-x.example.org", "expected host-b"},
			set: func(a, b *testHost) (string, string) {
				b.certify(ca, pki.Host{Names: []string{"host-x", "host-x.example.org"}})
				return "", ""
			}},
		{name: "revoked here", check: "TLS", code: "revoked", side: "here", words: []string{"this host refused the peer", "was revoked on", "crl.pem"},
			set: func(a, b *testHost) (string, string) { return revoke(a, b.certify(ca, pki.Host{})), "" }},
		{name: "revoked there", check: "answer", code: "revoked", side: "there", words: []string{"host-b refuses this host", "was revoked on", "crl.pem"},
			set: func(a, b *testHost) (string, string) { return "", revoke(b, a.certify(ca, pki.Host{})) }},
		{name: "not allowed there", bPeers: "[peers.host-c]\naddress = '127.0.0.1:1'\n", check: "answer", code: "denied", side: "there",
			words: []string{"host-b refuses this host", "no peer configured on host-b has its name (DNS:host-a"}},
		{name: "not in its list of names", bTop: "tls_allowed_dn_list = ['C=DE,*']", check: "answer", code: "denied", side: "there", words: []string{"tls_allowed_dn_list on host-b"}},
		{name: "no suite in common", aTop: "priority = '" + only13 + ":-AES-128-GCM:-CHACHA20-POLY1305'", bTop: "priority = '" + only13 + ":-AES-256-GCM'",
			check: "TLS", code: "policy", side: "there", words: []string{"in common", "this host allows TLS1.3 with TLS_AES_256_GCM_SHA384", "compare the TLS priorities"}},
		{name: "no version in common", aTop: "priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'", bTop: "priority = '" + only13 + "'",
			check: "TLS", code: "version", side: "there", words: []string{"none of the TLS versions", "this host allows TLS1.2"}},
		{name: "outside its policy for this peer", bPeers: peerA + "priority = 'NORMAL:-AES-128-GCM'\n", check: "answer", code: "policy", side: "there",
			words: []string{"TLS_AES_128_GCM_SHA256", "same one on both hosts"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pairOfHosts(t, ca)
			aTables, bTables := "", ""
			if c.set != nil {
				aTables, bTables = c.set(a, b)
			}
			if c.bPeers == "" {
				c.bPeers = peerA
			}
			b.noLibvirt = true
			b.start(c.bTop, bTables+c.bPeers)
			a.start(c.aTop, aTables+peerTable(b, ""))
			finds(t, a.checkPeer(), control.ResultError, c.check, c.code, c.side, c.words...)
		})
	}
}

// What a peer that lets this host in says of itself.
func TestCheckPeerThatAnswers(t *testing.T) {
	ca := newAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.certify(ca, pki.Host{NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(5*24*time.Hour + time.Minute)})
	b.noLibvirt = true
	b.start("priority = 'SECURE128'", peerA)
	a.start("", peerTable(b, ""))
	b.sessions.drain()
	b.put("cert.pem", []byte("cut"))
	b.Reload()
	found := a.checkPeer()
	for _, want := range []control.Finding{
		{Check: "connect", Result: "ok", Text: b.listening()},
		{Check: "TLS", Result: "ok", Text: "TLS1.3 with TLS_AES_128_GCM_SHA256"},
		{Check: "TLS", Result: "ok", Text: `it shows DNS:host-b, DN:O=CA,CN=host-b, issued by "CN=CA"; ends `},
		{Check: "TLS", Result: "warning", Code: "expires", Text: "in 5 days"},
		{Check: "answer", Result: "ok", Text: "host-b is sluice test, and knows this host as its peer host-a; its TLS priority is SECURE128"},
		{Check: "answer", Result: "warning", Code: "draining", Text: "host-b is being stopped"},
		{Check: "answer", Result: "warning", Code: "its-certificates", Text: "stay in use"},
		{Check: "answer", Result: "warning", Code: "its-certificates", Text: "its server certificate"},
		{Check: "clock", Result: "ok", Text: "of this host's"},
		{Check: "libvirt", Result: "error", Code: "libvirt", Text: "does not listen at " + b.libvirt},
	} {
		ok := false
		for _, f := range found {
			ok = ok || f.Check == want.Check && f.Result == want.Result && f.Code == want.Code && strings.Contains(f.Text, want.Text)
		}
		if !ok {
			t.Errorf("%+v is not among\n%+v", want, found)
		}
	}
}

// lonely is host-a, whose peer is whatever is at an address.
func lonely(t *testing.T, ca *pki.CA, address, limits string) *testHost {
	t.Helper()
	a := newTestHost(t, "host-a")
	a.trust(ca)
	a.certify(ca, pki.Host{NotBefore: time.Now().AddDate(-1, 0, 0)})
	a.noLibvirt = true
	a.start("", "[limits]\n"+limits+"\n[peers.host-b]\naddress = '"+address+"'\n")
	return a
}

// someone serves each connection as it likes, until the test's end.
func someone(t *testing.T, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func TestCheckPeerThatIsNotThere(t *testing.T) {
	ca := newAuthority(t, "CA")
	t.Run("its name does not resolve", func(t *testing.T) {
		a := lonely(t, ca, "no-such-host.invalid:16514", "")
		finds(t, a.checkPeer(), control.ResultError, "resolve", "name-unresolved", "", "no-such-host.invalid does not resolve", "peers.host-b.address")
	})
	t.Run("its port is closed", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		a := lonely(t, ca, l.Addr().String(), "")
		finds(t, a.checkPeer(), control.ResultError, "connect", "port-closed", "", "nothing listens at "+l.Addr().String())
	})
	t.Run("its port is filtered", func(t *testing.T) {
		a := lonely(t, ca, deaf(t), "handshake_timeout = '500ms'")
		finds(t, a.checkPeer(), control.ResultError, "connect", "port-filtered", "", "no answer from", "within 500ms", "a firewall drops the packets")
	})
}

func TestCheckPeerThatIsNoSluice(t *testing.T) {
	ca := newAuthority(t, "CA")
	t.Run("SSH", func(t *testing.T) {
		address := someone(t, func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			io.Copy(io.Discard, c)
		})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "not-tls", "here", "SSH server")
	})
	t.Run("silence", func(t *testing.T) {
		address := someone(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		finds(t, lonely(t, ca, address, "handshake_timeout = '500ms'").checkPeer(), control.ResultError, "TLS", "timeout", "here", "said nothing within 500ms")
	})
	t.Run("one that hangs up", func(t *testing.T) {
		address := someone(t, func(net.Conn) {})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "closed", "there", "closed the connection")
	})
	for _, from := range []string{"our CA", "another CA"} {
		t.Run("openssl s_server with a certificate of "+from, func(t *testing.T) {
			if _, err := exec.LookPath("openssl"); err != nil {
				t.Skip("openssl is not installed")
			}
			issuer := ca
			if from != "our CA" {
				issuer = newAuthority(t, from)
			}
			finds(t, lonely(t, ca, opensslServer(t, issuer), "").checkPeer(), control.ResultError, "TLS", "not-sluice", "",
				"speaks TLS and is no sluice", `"CN=host-b,O=`+issuer.Cert.Subject.CommonName+`"`, "check the port")
		})
	}
}

// opensslServer is a TLS server that is not ours, for host-b.
func opensslServer(t *testing.T, ca *pki.CA) string {
	t.Helper()
	h := newTestHost(t, "host-b")
	h.certify(ca, pki.Host{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, "openssl", "s_server", "-quiet", "-accept", address, "-cert", h.path("cert.pem"), "-key", h.path("key.pem"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	eventually(t, "openssl listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}

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
		{"this host's is expired there", pki.Host{}, 400 * 24 * time.Hour, "TLS", "expired", "there", control.ResultError,
			[]string{"host-b refuses this host's certificate as out of date", "this host's clock says", "host-b's says a time outside of that"}},
		{"clocks apart", pki.Host{}, 90 * time.Second, "clock", "clock", "", control.ResultWarning, []string{"1m30s apart", "NTP"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := lonely(t, ca, standIn(t, ca, c.host, c.ahead), "")
			finds(t, a.checkPeer(), c.result, c.check, c.code, c.side, c.words...)
		})
	}
}

// standIn is a sluice of which little is left: host-b with a clock of its own.
func standIn(t *testing.T, ca *pki.CA, host pki.Host, ahead time.Duration) string {
	t.Helper()
	host.Names = []string{"host-b"}
	clock := func() time.Time { return time.Now().Add(ahead) }
	acceptor := &stream.Acceptor{Host: "host-b", Ask: func(_ context.Context, peer, name string, _ []byte) (any, error) {
		return &check.Answer{Host: "host-b", Version: "test", Time: clock(), You: peer, Libvirt: "9.0.0"}, nil
	}}
	cfg := serverConfig(t, ca, host)
	cfg.Time = clock
	return someone(t, func(c net.Conn) {
		conn, err := relay.Server(t.Context(), c, cfg)
		if err == nil {
			acceptor.Serve(t.Context(), conn, "host-a")
		}
	})
}

func serverConfig(t *testing.T, ca *pki.CA, host pki.Host) *tls.Config {
	t.Helper()
	pair, err := ca.Issue(host)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: poolOf(ca), NextProtos: []string{check.ALPN}}
}

// Versions that do not fit: of the protocol, and of what may be asked.
func TestCheckPeerOfAnotherVersion(t *testing.T) {
	ca := newAuthority(t, "CA")
	t.Run("of the protocol", func(t *testing.T) {
		cfg := serverConfig(t, ca, pki.Host{Names: []string{"host-b"}})
		address := someone(t, func(c net.Conn) {
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
		b.start("", peerA)
		b.acceptor.Ask = func(ctx context.Context, peer, name string, body []byte) (any, error) {
			return b.answer(ctx, peer, "newer than "+name, body)
		}
		a.start("", peerTable(b, ""))
		finds(t, a.checkPeer(), control.ResultError, "answer", "version", "there", "there is no question", "update the older sluice")
	})
}
