package test

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
)

// libvirtdAuth makes a host's libvirtd ask its callers who they are, for as
// long as the function that is returned is not called.
func (s *site) libvirtdAuth(h *lab.Host, how string) (undo func()) {
	s.t.Helper()
	return s.reconfigureLibvirtd(h, func(conf string) string {
		return strings.NewReplacer(`auth_unix_rw = "none"`, `auth_unix_rw = "`+how+`"`, `auth_unix_ro = "none"`, `auth_unix_ro = "`+how+`"`).Replace(conf)
	})
}

// What libvirtd asks by SASL the client answers, through sluice, by both ways
// in; who has no password does not get further.
func TestSASLPasses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.start(s.A, conf{}), s.start(s.B, conf{peers: clients})
	s.check(os.WriteFile(s.B.Path("/etc/sasl2/libvirt.conf"), []byte("mech_list: scram-sha-256\nsasldb_path: /etc/libvirt/passwd.db\n"), 0o644))
	add := s.B.Command(s.ctx, "saslpasswd2", "-p", "-a", "libvirt", "-f", "/etc/libvirt/passwd.db", "-u", "host-b", "ops")
	add.Stdin = strings.NewReader("secret")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, out)
	}
	undo := s.libvirtdAuth(s.B, "sasl")
	auth := func(password string) string {
		return s.write("auth-"+password, []byte("[credentials-ops]\nauthname=ops@host-b\npassword="+password+"\n[auth-libvirt-default]\ncredentials=ops\n"))
	}
	right, wrong := auth("secret"), auth("guess")
	for _, uri := range []string{a.uri(), s.tlsURI("operator"), s.tlsURI("looker"), s.tlsURI("mover")} {
		if out := s.virshSays(s.A, "-c", uri+"&authfile="+right, "hostname"); out != "host-b" {
			t.Errorf("%s: %s", uri, out)
		}
		s.virshFails(s.A, []string{"-c", uri + "&authfile=" + wrong, "hostname"}, "authentication failed")
	}
	undo()
	b.ended()
	s.nothingLeft()
}

// libvirtd's polkit lets sluice's own user, root, in without a question; who
// may do what is sluice's to say.
func TestPolkitSeesSluice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: clients})
	undo := s.libvirtdAuth(s.B, "polkit")
	for _, who := range []string{"operator", "looker", "mover"} {
		if out := s.virshSays(s.A, "-c", s.tlsURI(who), "hostname"); out != "host-b" {
			t.Errorf("%s: %s", who, out)
		}
	}
	s.virshFails(s.A, []string{"-c", s.tlsURI("looker"), "pool-define-as", "x", "dir", "--target", "/tmp"}, "read only")
	undo()
	b.ended()
	s.nothingLeft()
}

// A revoked certificate opens nothing, whatever the tables say.
func TestRevokedClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	uri := s.tlsURI("operator")
	leaf := s.leaf("operator")
	crl, err := s.ca.CRL(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{leaf}})
	s.check(err)
	b := s.start(s.B, conf{peers: clients, certificates: "crl = '" + s.write("crl.pem", crl) + "'\n"})
	s.virshFails(s.A, []string{"-c", uri, "list"}, "sluice: ", "revoked")
	b.logged("connection refused", "revoked")
	if out := s.virshSays(s.A, "-c", s.tlsURI("mover"), "hostname"); out != "host-b" {
		t.Errorf("another certificate: %s", out)
	}
	s.nothingLeft()
}

// libvirt's list of distinguished names holds for its clients here too, and so does the priority.
func TestTLSClientsByList(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	uri := s.tlsURI("operator")
	b := s.start(s.B, conf{peers: clients, top: "tls_allowed_dn_list = ['*,CN=mover']\npriority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'\n"})
	s.virshFails(s.A, []string{"-c", uri, "list"}, "access denied: ", "tls_allowed_dn_list on host-b", "CN=operator")
	b.logged("connection refused", "tls_allowed_dn_list")
	for _, c := range []struct {
		priority string
		works    bool
	}{{"NORMAL", true}, {"NORMAL:-VERS-ALL:+VERS-TLS1.2", true}, {"NORMAL:-VERS-ALL:+VERS-TLS1.3", false}} {
		out, errs, status := s.run(s.A, "virsh", "-q", "-c", s.tlsURI("mover")+"&tls_priority="+url.QueryEscape(c.priority), "hostname")
		if (status == 0) != c.works {
			t.Errorf("%s: %s%s", c.priority, out, errs)
		}
	}
	s.nothingLeft()
}

// leaf is the certificate of a client of tlsURI's.
func (s *site) leaf(name string) *x509.Certificate {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name, "clientcert.pem"))
	s.check(err)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	s.check(err)
	return cert
}
