package tlsconf

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

func (s *site) crl(r pki.Revocation) []byte {
	s.t.Helper()
	data, err := s.ca.CRL(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// withCRL adds a list to a host's files.
func withCRL(t testing.TB, f Files, data []byte) Files {
	t.Helper()
	f.CRL = filepath.Join(filepath.Dir(f.CA), "crl.pem")
	write(t, f.CRL, data, 0o644)
	return f
}

func TestRevokedPeersAreRefusedInEitherRole(t *testing.T) {
	s := newSite(t)
	good, bad := s.host("good"), s.host("bad")
	list := s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{bad.Cert}})
	here := mustLoad(t, withCRL(t, s.files(s.host("here"), s.ca), list))
	expect := rules(t, "*")
	for _, tt := range []struct {
		name  string
		peer  *pki.Pair
		cause Cause
	}{{"good", good, ""}, {"bad", bad, CauseRevoked}} {
		peer := s.creds(tt.peer)
		_, asClient, _ := shake(t, here.clientConfig(expect, settings{}), peer.serverConfig(settings{}))
		_, _, asServer := shake(t, peer.clientConfig(expect, settings{}), here.serverConfig(settings{}))
		for _, err := range []error{Explain(asClient, tt.name), Explain(asServer, tt.name)} {
			var he *HandshakeError
			switch {
			case tt.cause == "" && err != nil:
				t.Errorf("%s: %v", tt.name, err)
			case tt.cause != "" && (!errors.As(err, &he) || he.Cause != tt.cause || !strings.Contains(err.Error(), "was revoked on") || !strings.Contains(err.Error(), "crl.pem")):
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
	// A priority string can switch it off, as it can in GnuTLS.
	off := settings{Policy: policy(t, "NORMAL:%VERIFY_DISABLE_CRL_CHECKS")}
	if _, err, _ := shake(t, here.clientConfig(expect, off), s.creds(bad).serverConfig(settings{})); err != nil {
		t.Errorf("with the checks off: %v", err)
	}
}

func TestStaleListRefusesItsCAsPeers(t *testing.T) {
	s, other := newSite(t), newSite(t)
	list := s.crl(pki.Revocation{Number: 1, ThisUpdate: longAgo, NextUpdate: yesterday})
	f := withCRL(t, s.files(s.host("here"), s.ca), list)
	write(t, f.CA, append(s.ca.CertPEM(), other.ca.CertPEM()...), 0o644)
	here := mustLoad(t, f)
	if len(here.Warnings) != 1 || here.Warnings[0].Severity != Error || here.Warnings[0].File != f.CRL || !strings.Contains(here.Warnings[0].Problem, "ran out on") {
		t.Errorf("findings: %v", here.Warnings)
	}
	_, _, err := shake(t, s.creds(s.host("a")).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
	var he *HandshakeError
	if err = Explain(err, "a"); !errors.As(err, &he) || he.Cause != CauseStaleCRL {
		t.Errorf("a peer of the list's CA: %v", err)
	}
	// The other CA has no list: its peers come in. They trust the first CA as well.
	of := other.files(other.host("b"), s.ca)
	write(t, of.CA, append(s.ca.CertPEM(), other.ca.CertPEM()...), 0o644)
	if _, cerr, serr := shake(t, mustLoad(t, of).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{})); cerr != nil || serr != nil {
		t.Errorf("a peer of the other CA: %v, %v", cerr, serr)
	}
	// Before it ran out it was good, and being revoked counts before age.
	early := settings{Time: func() time.Time { return yesterday.Add(-time.Hour) }}
	if err := here.checkRevoked([]*x509.Certificate{s.host("a").Cert, s.ca.Cert}, early.Time()); err != nil {
		t.Errorf("before it ran out: %v", err)
	}
}

func TestLoadRefusesListsThatProveNothing(t *testing.T) {
	s := newSite(t)
	impostor, err := pki.NewCA(pki.Authority{Name: "test CA"}) // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	forged, err := impostor.CRL(pki.Revocation{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	good := s.crl(pki.Revocation{Number: 1})
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"forged", forged, "not signed by a CA"},
		{"from the future", s.crl(pki.Revocation{Number: 1, ThisUpdate: tomorrow, NextUpdate: tomorrow.Add(time.Hour)}), "clock"},
		{"empty", nil, "holds no revocation list"},
		{"a certificate", s.ca.CertPEM(), "holds no revocation list"},
		{"delta", s.crl(pki.Revocation{Number: 2, Extra: []pkix.Extension{{Id: oidDeltaCRL, Critical: true, Value: []byte{2, 1, 1}}}}), "is a delta"},
		{"cut off", good[:len(good)/2], "cut off"},
		{"one good, one cut off", append(append([]byte(nil), good...), good[:len(good)/2]...), "cut off"},
		{"nonsense", []byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"), "cannot be parsed"},
		{"too large", make([]byte, maxCRLFile+1), "larger than"},
	} {
		f := withCRL(t, s.files(s.host("here"), s.ca), tt.data)
		found, err := Find(Search{Files: f})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(found)
		var finding *Finding
		if !errors.As(err, &finding) || finding.File != f.CRL || !strings.Contains(finding.Problem, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestTheNewestListCounts has two lists of one CA in a file, as after one was added to the other.
func TestTheNewestListCounts(t *testing.T) {
	s := newSite(t)
	held, lost := s.host("held"), s.host("lost")
	before := s.crl(pki.Revocation{Number: 1, ThisUpdate: longAgo, NextUpdate: yesterday, Revoked: []*x509.Certificate{held.Cert}})
	after := s.crl(pki.Revocation{Number: 2, Revoked: []*x509.Certificate{lost.Cert}})
	for _, file := range [][]byte{slices.Concat(before, after), slices.Concat(after, before)} {
		here := mustLoad(t, withCRL(t, s.files(s.host("here"), s.ca), file))
		if len(here.Warnings) > 0 {
			t.Errorf("findings: %v", here.Warnings)
		}
		_, _, err := shake(t, s.creds(held).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
		_, _, lostErr := shake(t, s.creds(lost).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
		var revoked *RevokedError
		if err != nil || !errors.As(lostErr, &revoked) {
			t.Errorf("held: %v; lost: %v", err, lostErr)
		}
	}
}

func TestOwnCertificateRevoked(t *testing.T) {
	s := newSite(t)
	own := s.host("here")
	f := withCRL(t, s.files(own, s.ca), s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{own.Cert}}))
	here := mustLoad(t, f)
	if len(here.crls) != 1 || len(here.Warnings) != 1 || here.Warnings[0].Severity != Error || here.Warnings[0].File != f.Cert || !strings.Contains(here.Warnings[0].Problem, "was revoked on") {
		t.Errorf("findings: %v", here.Warnings)
	}
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	if got := Check(found, Others{}); len(got) == 0 || got[0].Severity != Error || !strings.Contains(got[0].Problem, "peers that know refuse this host") {
		t.Errorf("%v", got)
	}
}

func TestIntermediateCAsCanBeRevoked(t *testing.T) {
	s := newSite(t)
	sub, err := s.ca.Sub(pki.Authority{Name: "sub CA"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := sub.Issue(pki.Host{Names: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	list := s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{sub.Cert}})
	here := mustLoad(t, withCRL(t, s.files(s.host("here"), s.ca), list))
	_, _, err = shake(t, s.creds(p).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
	var revoked *RevokedError
	if !errors.As(err, &revoked) || revoked.Cert.Subject.CommonName != "sub CA" {
		t.Errorf("%v", err)
	}
}

// ofVersion1 is a list as OpenSSL makes it without extensions.
func (s *site) ofVersion1(revoked ...*x509.Certificate) []byte {
	s.t.Helper()
	needTool(s.t, "openssl")
	dir := s.t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if _, err := pki.WriteCA(dir, s.ca); err != nil {
		s.t.Fatal(err)
	}
	index := ""
	for _, c := range revoked {
		index += fmt.Sprintf("R\t%s\t%s\t%032X\tunknown\t/CN=x\n", c.NotAfter.UTC().Format("060102150405Z"), time.Now().UTC().Format("060102150405Z"), c.SerialNumber)
	}
	write(s.t, at("index.txt"), []byte(index), 0o644)
	write(s.t, at("ca.cnf"), []byte("[ca]\ndefault_ca=c\n[c]\ndatabase="+at("index.txt")+"\ndefault_md=sha256\ndefault_crl_days=30\n"), 0o644)
	out, err := exec.Command("openssl", "ca", "-config", at("ca.cnf"), "-gencrl", "-keyfile", at("ca-key.pem"), "-cert", at("ca-cert.pem"), "-out", at("crl.pem")).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(at("crl.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// TestListsThatLibvirtTakes are lists that a strict reader of RFC 5280 refuses. Whom they name is
// kept out.
func TestListsThatLibvirtTakes(t *testing.T) {
	s := newSite(t)
	bad := s.host("bad")
	// The CA of libvirt's own template: certificate signing, and no more.
	plain, err := pki.NewCA(pki.Authority{Name: "plain CA", KeyUsage: x509.KeyUsageCertSign})
	if err != nil {
		t.Fatal(err)
	}
	ofPlain := &site{t, plain}
	badOfPlain := ofPlain.host("bad")
	withSign := &pki.CA{Cert: &x509.Certificate{RawSubject: plain.Cert.RawSubject, SubjectKeyId: plain.Cert.SubjectKeyId, KeyUsage: x509.KeyUsageCRLSign}, Key: plain.Key}
	plainList, err := withSign.CRL(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{badOfPlain.Cert}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		of     *site
		bad    *pki.Pair
		list   []byte
		warned string
	}{
		{"version 1", s, bad, s.ofVersion1(bad.Cert), ""},
		{"of a CA that may not sign lists", ofPlain, badOfPlain, plainList, "does not allow signing revocation lists"},
		{"dated minutes ahead", s, bad, s.crl(pki.Revocation{Number: 1, ThisUpdate: time.Now().Add(20 * time.Minute), Revoked: []*x509.Certificate{bad.Cert}}), "clock says"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here := mustLoad(t, withCRL(t, tt.of.files(tt.of.host("here"), tt.of.ca), tt.list))
			if tt.warned == "" && len(here.Warnings) > 0 || tt.warned != "" && (len(here.Warnings) != 1 || here.Warnings[0].Severity != Warning || !strings.Contains(here.Warnings[0].Problem, tt.warned)) {
				t.Errorf("warnings: %v", here.Warnings)
			}
			for p, revoked := range map[*pki.Pair]bool{tt.bad: true, tt.of.host("good"): false} {
				_, _, err := shake(t, tt.of.creds(p).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
				var re *RevokedError
				if errors.As(err, &re) != revoked || err != nil && !revoked {
					t.Errorf("%v: %v", p.Cert.Subject, err)
				}
			}
		})
	}
	// Damaged ones are refused all the same.
	v1, _ := pem.Decode(s.ofVersion1(bad.Cert))
	for i := 20; i < len(v1.Bytes); i += 7 {
		der := bytes.Clone(v1.Bytes)
		der[i] ^= 1
		f := withCRL(t, s.files(s.host("here"), s.ca), pem.EncodeToMemory(&pem.Block{Type: crlKind, Bytes: der}))
		found, err := Find(Search{Files: f})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(found); err == nil {
			t.Fatalf("byte %d of a list of version 1 may be anything", i)
		}
	}
	v2, _ := pem.Decode(s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{bad.Cert}}))
	for i := range v2.Bytes {
		der := bytes.Clone(v2.Bytes)
		der[i] ^= 1
		f := withCRL(t, s.files(s.host("here"), s.ca), pem.EncodeToMemory(&pem.Block{Type: crlKind, Bytes: der}))
		found, err := Find(Search{Files: f})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(found); err == nil {
			t.Fatalf("byte %d of a list may be anything", i)
		}
	}
}

// TestListOfACAThatIsNotInTheFile has the list of a CA whose certificate only its peers send.
func TestListOfACAThatIsNotInTheFile(t *testing.T) {
	s := newSite(t)
	sub, err := s.ca.Sub(pki.Authority{Name: "sub CA"})
	if err != nil {
		t.Fatal(err)
	}
	ofSub := &site{t, sub}
	good, bad := ofSub.host("good"), ofSub.host("bad")
	impostor, err := pki.NewCA(pki.Authority{Name: "sub CA"})
	if err != nil {
		t.Fatal(err)
	}
	ofImpostor := &site{t, impostor}
	before := ofSub.crl(pki.Revocation{Number: 1, ThisUpdate: longAgo, NextUpdate: yesterday})
	list := ofSub.crl(pki.Revocation{Number: 2, Revoked: []*x509.Certificate{bad.Cert}})
	for name, tt := range map[string]struct {
		list      []byte
		good, bad Cause
	}{
		"its list":                 {list, "", CauseRevoked},
		"an older one beside it":   {slices.Concat(before, list), "", CauseRevoked},
		"one that it did not sign": {ofImpostor.crl(pki.Revocation{Number: 1}), CauseStaleCRL, CauseStaleCRL},
	} {
		t.Run(name, func(t *testing.T) {
			here := mustLoad(t, withCRL(t, s.files(s.host("here"), s.ca), tt.list))
			if len(here.Warnings) == 0 || !strings.Contains(here.Warnings[0].Problem, "which is not in") {
				t.Errorf("warnings: %v", here.Warnings)
			}
			for p, cause := range map[*pki.Pair]Cause{good: tt.good, bad: tt.bad} {
				_, _, err := shake(t, s.creds(p).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{}))
				var he *HandshakeError
				if err = Explain(err, "peer"); cause == "" && err != nil || cause != "" && (!errors.As(err, &he) || he.Cause != cause) {
					t.Errorf("%v: %v", p.Cert.Subject, err)
				}
			}
		})
	}
}

func TestStaleListMayBeAccepted(t *testing.T) {
	s := newSite(t)
	bad := s.host("bad")
	f := withCRL(t, s.files(s.host("here"), s.ca), s.crl(pki.Revocation{Number: 1, ThisUpdate: longAgo, NextUpdate: yesterday, Revoked: []*x509.Certificate{bad.Cert}}))
	found, err := Find(Search{Files: f, StaleCRL: true})
	if err != nil {
		t.Fatal(err)
	}
	here, err := Load(found)
	if err != nil || len(here.Warnings) != 1 || here.Warnings[0].Severity != Warning || !strings.Contains(here.Warnings[0].Problem, "ran out on") {
		t.Fatalf("%v, %v", here.Warnings, err)
	}
	if _, cerr, serr := shake(t, s.creds(s.host("good")).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{})); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	var re *RevokedError
	if _, _, err := shake(t, s.creds(bad).clientConfig(rules(t, "*"), settings{}), here.serverConfig(settings{})); !errors.As(err, &re) {
		t.Errorf("whom it names: %v", err)
	}
}
