package proxy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A fleet changes its CA while a connection is open: at no step does a new
// connection fail, and the one that is open never notices.
func TestAuthorityIsChanged(t *testing.T) {
	before, after := hosttest.NewAuthority(t, "old"), hosttest.NewAuthority(t, "new")
	a, b := pairOfHosts(t, before)
	b.start("", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	stream := a.echo("host-b")
	echoes(t, stream, "before")
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a trusts both", func() { a.Trust(before, after) }},
		{"b trusts both", func() { b.Trust(before, after) }},
		{"b is renewed", func() { b.Certify(after, pki.Host{}) }},
		{"a is renewed", func() { a.Certify(after, pki.Host{}) }},
		{"a forgets the old one", func() { a.Trust(after) }},
		{"b forgets the old one", func() { b.Trust(after) }},
	} {
		step.do()
		for _, h := range []*testHost{a, b} {
			if _, err := h.Reload(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if err := a.ask("host-b"); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		echoes(t, stream, step.name)
	}
	if issuer := a.now().Peers.Certs.Current().Leaf.Issuer.CommonName; issuer != "new" {
		t.Errorf("host-a shows a certificate of %q", issuer)
	}
}

// A set that is not good keeps the one before it, and is told until it is mended.
func TestReloadOfABadSet(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	good, err := os.ReadFile(b.Path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b.Put("cert.pem", good[:len(good)/2])
	_, err = b.Reload()
	hosttest.Says(t, err, b.Path("cert.pem"), "damaged or cut off", "stay in use")
	if err := a.ask("host-b"); err != nil {
		t.Errorf("after a bad reload: %v", err)
	}
	st := b.status().Certificates
	if len(st.ReloadErrors) != 1 || st.ReloadErrors[0].Error != err.Error() || time.Since(st.ReloadErrors[0].At) > time.Minute {
		t.Errorf("status has %+v, want %v", st.ReloadErrors, err)
	}
	if log := b.logged.String(); strings.Count(log, "damaged or cut off") != 1 {
		t.Errorf("the log has\n%s", log)
	}
	b.Put("cert.pem", good)
	if _, err := b.Reload(); err != nil {
		t.Error(err)
	}
	if st := b.status().Certificates; len(st.ReloadErrors) != 0 {
		t.Errorf("mended, and status has %+v", st.ReloadErrors)
	}
}

// Files are followed without being told.
func TestChangedFilesAreNoticed(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	renewed := b.Certify(ca, pki.Host{})
	hosttest.Eventually(t, "the renewed certificate", func() bool { return b.now().Peers.Certs.Current().Leaf.Equal(renewed.Cert) })
	if err := a.ask("host-b"); err != nil {
		t.Error(err)
	}
	other := hosttest.NewAuthority(t, "another")
	b.Certify(other, pki.Host{})
	hosttest.Eventually(t, "the failure in status", func() bool { return len(b.status().Certificates.ReloadErrors) == 1 })
	if !b.now().Peers.Certs.Current().Leaf.Equal(renewed.Cert) {
		t.Error("a certificate of another CA is in use")
	}
	hosttest.Eventually(t, "the failure in the log", func() bool { return strings.Contains(b.logged.String(), "reload failed") })
}

func TestStatusOfCertificates(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a := newTestHost(t, "host-a")
	a.Trust(ca)
	a.Certify(ca, pki.Host{NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(10*24*time.Hour + time.Minute)})
	a.start("priority = 'SECURE192'", "[peers.host-b]\npriority = 'NORMAL'")
	st := a.status()
	if st.Priority != "SECURE192" || st.Peers[0].Priority != "NORMAL" {
		t.Errorf("priorities %q and %q", st.Priority, st.Peers[0].Priority)
	}
	c := st.Certificates
	if c.Source != "files" || c.Why != "named in the configuration" || len(c.Files) != 3 || c.Files[0] != a.Path("ca.pem") {
		t.Errorf("%+v", c)
	}
	if len(c.Expiry) != 2 || c.Expiry[0].What != "server" || c.Expiry[0].Seconds/3600 != 240 || !c.Expiry[0].Warn || c.Expiry[1].What != "ca" || c.Expiry[1].Warn {
		t.Errorf("%+v", c.Expiry)
	}
	// Once each, however often it is looked at.
	hosttest.Eventually(t, "the warning", func() bool { return strings.Contains(a.logged.String(), "a certificate expires soon") })
	a.now().Peers.Certs.WarnOfEnds(time.Now())
	if log := a.logged.String(); strings.Count(log, "a certificate expires soon") != 1 {
		t.Errorf("the log has\n%s", log)
	}
	a.now().Peers.Certs.WarnOfEnds(time.Now().AddDate(9, 1, 0))
	if log := a.logged.String(); strings.Count(log, "a certificate expires soon") != 2 || !strings.Contains(log, `"certificate":"ca"`) {
		t.Errorf("nine years later the log has\n%s", log)
	}
}

// What a peer is told when its certificate is good and it may not come in.
func TestRefusedInWords(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	gb := pki.Host{Subject: &pkix.Name{Country: []string{"GB"}, Organization: []string{"Site"}, CommonName: "host-a"}, Names: []string{"host-a"}}
	for _, c := range []struct {
		name  string
		a     pki.Host
		crl   *pki.Revocation // of host-a, in host-b's list
		top   string          // of host-b's configuration
		peers string
		words []string // none: let in
	}{
		{name: "let in", words: nil},
		{name: "not configured", peers: "[peers.host-c]\naddress = '127.0.0.1:1'\n", words: []string{"host-b: ", "no peer configured on host-b has its name (DNS:host-a"}},
		{name: "revoked", crl: &pki.Revocation{Number: 1}, words: []string{"host-b: this host refused the peer", "was revoked on", "crl.pem", "new certificate"}},
		{name: "list ran out", crl: &pki.Revocation{Number: 1, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour), Revoked: []*x509.Certificate{}},
			words: []string{"host-b: ", "ran out on", "crl.pem"}},
		{name: "in the list of names", a: gb, top: "tls_allowed_dn_list = ['C=GB,O=Site,*']", words: nil},
		{name: "not in the list of names", a: gb, top: "tls_allowed_dn_list = ['C=DE,*', 'O=Site,C=GB,*']", words: []string{"host-b: ", "tls_allowed_dn_list on host-b", `"C=GB,O=Site,CN=host-a"`}},
		{name: "empty list of names", a: gb, top: "tls_allowed_dn_list = []", words: []string{"host-b: ", "tls_allowed_dn_list on host-b"}},
		{name: "stricter priority of the peer", peers: hosttest.PeerA + "priority = 'SECURE192:-CHACHA20-POLY1305'\n",
			words: []string{"host-b: this host refused the peer", "SECURE192:-CHACHA20-POLY1305", "does not allow", "its own priority string for the peer host-a", "same one on both hosts"}},
		{name: "too short a key for the policy", top: "priority = 'NORMAL:%PROFILE_ULTRA'", words: []string{"host-b: this host refused the peer", "PROFILE_ULTRA"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newTestHost(t, "host-a"), newTestHost(t, "host-b")
			a.Trust(ca)
			b.Trust(ca)
			pair := a.Certify(ca, c.a)
			b.Certify(ca, pki.Host{Algorithm: pki.RSA})
			tables := ""
			if c.crl != nil {
				if c.crl.Revoked == nil {
					c.crl.Revoked = append(c.crl.Revoked, pair.Cert)
				}
				list, err := ca.CRL(*c.crl)
				if err != nil {
					t.Fatal(err)
				}
				b.Put("crl.pem", list)
				tables = "crl = '" + b.Path("crl.pem") + "'\n"
			}
			if c.peers == "" {
				c.peers = hosttest.PeerA
			}
			b.start(c.top, tables+c.peers)
			a.start("", peerTable(b, ""))
			err := a.ask("host-b")
			if c.words == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			hosttest.Says(t, err, c.words...)
			hosttest.Eventually(t, "the refusal in the log", func() bool { return strings.Contains(b.logged.String(), "connection refused") })
		})
	}
}
