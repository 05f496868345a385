package proxy

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// checkPeer checks host-b from h.
func (h *testHost) checkPeer() []control.Finding {
	h.T.Helper()
	ctx, cancel := context.WithTimeout(h.T.Context(), 30*time.Second)
	defer cancel()
	r, err := control.New(h.Path("run/control.sock")).Check(ctx, &control.CheckRequest{Peers: []string{"host-b"}})
	if err != nil {
		h.T.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Peer != "host-b" {
			h.T.Errorf("about another peer: %+v", f)
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
	ca, other, namesake := hosttest.NewAuthority(t, "CA"), hosttest.NewAuthority(t, "another CA"), hosttest.NewAuthority(t, "CA")
	const only13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	revoke := func(h *testHost, p *pki.Pair) string {
		list, err := ca.CRL(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{p.Cert}})
		if err != nil {
			h.T.Fatal(err)
		}
		h.Put("crl.pem", list)
		return "crl = '" + h.Path("crl.pem") + "'\n"
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
				b.Trust(ca, other)
				b.Certify(other, pki.Host{})
				return "", ""
			}},
		{name: "wrong CA there", check: "answer", code: "wrong-ca", side: "there", words: []string{`issued by "CN=another CA"`, "does not come from a CA that host-b trusts", `host-b trusts "CN=CA"`, "host-b's CA file"},
			set: func(a, b *testHost) (string, string) {
				a.Trust(ca, other)
				a.Certify(other, pki.Host{})
				return "", ""
			}},
		{name: "wrong CA of the same name there", check: "answer", code: "wrong-ca", side: "there", words: []string{`issued by "CN=CA"`, "does not come from a CA that host-b trusts"},
			set: func(a, b *testHost) (string, string) {
				a.Trust(ca, namesake)
				a.Certify(namesake, pki.Host{})
				return "", ""
			}},
		{name: "name not in the SAN", check: "TLS", code: "name", side: "here", words: []string{"it holds DNS:host-x, DNS:host-x.example.org", "expected host-b"},
			set: func(a, b *testHost) (string, string) {
				b.Certify(ca, pki.Host{Names: []string{"host-x", "host-x.example.org"}})
				return "", ""
			}},
		{name: "revoked here", check: "TLS", code: "revoked", side: "here", words: []string{"this host refused the peer", "was revoked on", "crl.pem"},
			set: func(a, b *testHost) (string, string) { return revoke(a, b.Certify(ca, pki.Host{})), "" }},
		{name: "revoked there", check: "answer", code: "revoked", side: "there", words: []string{"host-b refuses this host", "was revoked on", "crl.pem"},
			set: func(a, b *testHost) (string, string) { return "", revoke(b, a.Certify(ca, pki.Host{})) }},
		{name: "not allowed there", bPeers: "[peers.host-c]\naddress = '127.0.0.1:1'\n", check: "answer", code: "denied", side: "there",
			words: []string{"host-b refuses this host", "no peer configured on host-b has its name (DNS:host-a"}},
		{name: "not in its list of names", bTop: "tls_allowed_dn_list = ['C=DE,*']", check: "answer", code: "denied", side: "there", words: []string{"tls_allowed_dn_list on host-b"}},
		{name: "no suite in common", aTop: "priority = '" + only13 + ":-AES-128-GCM:-CHACHA20-POLY1305'", bTop: "priority = '" + only13 + ":-AES-256-GCM'",
			check: "TLS", code: "policy", side: "there", words: []string{"in common", "this host allows TLS1.3 with TLS_AES_256_GCM_SHA384", "compare the TLS priorities"}},
		{name: "no version in common", aTop: "priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'", bTop: "priority = '" + only13 + "'",
			check: "TLS", code: "version", side: "there", words: []string{"none of the TLS versions", "this host allows TLS1.2"}},
		{name: "its signature", aTop: "priority = 'SECURE256'", check: "TLS", code: "policy", side: "here", words: []string{"the peer signed with PSSWithSHA256", "PSSWithSHA384"},
			set: func(a, b *testHost) (string, string) {
				a.Certify(ca, pki.Host{Algorithm: pki.RSA})
				b.Certify(ca, pki.Host{Algorithm: pki.RSA})
				return "", ""
			}},
		{name: "outside its policy for this peer", bPeers: hosttest.PeerA + "priority = 'NORMAL:-AES-128-GCM'\n", check: "answer", code: "policy", side: "there",
			words: []string{"TLS_AES_128_GCM_SHA256", "same one on both hosts"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pairOfHosts(t, ca)
			aTables, bTables := "", ""
			if c.set != nil {
				aTables, bTables = c.set(a, b)
			}
			if c.bPeers == "" {
				c.bPeers = hosttest.PeerA
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
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.Certify(ca, pki.Host{NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(5*24*time.Hour + time.Minute)})
	b.noLibvirt = true
	b.start("priority = 'SECURE128'", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	b.Sessions.Drain()
	b.Put("cert.pem", []byte("cut"))
	b.Reload()
	found := a.checkPeer()
	for _, want := range []control.Finding{
		{Check: "connect", Result: "ok", Text: b.listening()},
		{Check: "TLS", Result: "ok", Text: "TLS1.3 with TLS_AES_128_GCM_SHA256"},
		{Check: "TLS", Result: "ok", Text: `it shows DNS:host-b, DN:O=CA,CN=host-b, issued by "CN=CA"; ends `},
		{Check: "TLS", Result: "warning", Code: "expires", Text: "in 5 days"},
		{Check: "answer", Result: "ok", Text: "host-b is sluice test, and knows this host as its peer host-a; its TLS priority is SECURE128"},
		{Check: "answer", Result: "warning", Code: "draining", Text: "host-b is stopping"},
		{Check: "answer", Result: "warning", Code: "its-certificates", Text: "stay in use"},
		{Check: "answer", Result: "warning", Code: "its-certificates", Text: "its server certificate"},
		{Check: "clock", Result: "ok", Text: "of this host's"},
		{Check: "libvirt", Result: "error", Code: "libvirt", Text: "does not listen at " + b.LibvirtSocket},
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
