package tlsconf

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// install puts a host's files where a layout has them, below root, and returns them by layout.
func (s *site) install(root, name string, p *pki.Pair) {
	s.t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := p.KeyPEM()
	if err != nil {
		s.t.Fatal(err)
	}
	l, ok := layout.Named(name)
	if !ok {
		s.t.Fatalf("there is no layout %q", name)
	}
	l = l.At(l.DirIn(root, home))
	write(s.t, l.CA, s.ca.CertPEM(), 0o644)
	write(s.t, l.Server.Cert, p.CertPEM(), 0o644)
	write(s.t, l.Server.Key, key, 0o600)
}

func TestFindTakesTheFirstCompleteLayout(t *testing.T) {
	s := newSite(t)
	root := t.TempDir()
	_, err := Find(Search{Root: root})
	var nf *NotFoundError
	if !errors.As(err, &nf) || len(nf.Looked) != len(layout.Names()) {
		t.Fatalf("an empty host: %v", err)
	}
	for _, want := range []string{"/etc/pki/CA/cacert.pem", "/etc/pki/libvirt/private/serverkey.pem", "/etc/pki/libvirt/clientcert.pem", "/etc/pki/qemu/server-cert.pem", "/etc/cloudstack/agent/cloud.key", ".pki/libvirt/cacert.pem"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not told: %v", want, err)
		}
	}
	// From the last to the first: each one that is put there comes before the others.
	order := layout.Names()
	for i := len(order) - 1; i >= 0; i-- {
		s.install(root, order[i], s.host("a"))
		f, err := Find(Search{Root: root})
		if err != nil || f.Layout != order[i] || f.Why == "" || !strings.HasPrefix(f.CA, root) {
			t.Errorf("%s: found %+v, %v", order[i], f, err)
		}
		if i > 0 && !strings.Contains(f.Why, "libvirt's") {
			t.Errorf("%s: why is %q", order[i], f.Why)
		}
		if _, err := Load(f); err != nil {
			t.Errorf("%s: %v", order[i], err)
		}
	}
	// One alone can be asked for.
	if f, err := Find(Search{Root: root, Layout: layout.CloudStack}); err != nil || f.Layout != layout.CloudStack {
		t.Errorf("%+v, %v", f, err)
	}
	// A key that is gone makes the layout incomplete, and the next one is taken.
	remove(t, filepath.Join(root, "etc/pki/libvirt/private/serverkey.pem"))
	if f, err := Find(Search{Root: root}); err != nil || f.Layout != layout.QEMU || !strings.Contains(f.Why, "libvirt's") {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFindRoles(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	server := s.issue(pki.Host{Names: []string{"a"}, Usages: serverOnly})
	client := s.issue(pki.Host{Names: []string{"a"}, Usages: clientOnly})
	if _, err := pki.WriteLayout(dir, pki.LayoutLibvirt, pki.Set{CA: s.ca, Server: server, Client: client, CRL: s.crl(pki.Revocation{Number: 1})}); err != nil {
		t.Fatal(err)
	}
	f, err := Find(Search{Dir: dir, Layout: layout.Libvirt})
	if err != nil {
		t.Fatal(err)
	}
	if f.CRL != filepath.Join(dir, "CA/cacrl.pem") {
		t.Errorf("the list is %q", f.CRL)
	}
	c, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Leaf.Equal(server.Cert) || !c.client[0].Leaf.Equal(client.Cert) || len(c.crls) != 1 {
		t.Error("the roles are mixed up")
	}
	if _, cerr, serr := shake(t, c.clientConfig(rules(t, "a"), settings{}), c.serverConfig(settings{})); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	// libvirt's clients may need to read the client's key; peers' keys are nobody else's business.
	chmod(t, filepath.Join(dir, "libvirt/private/clientkey.pem"), 0o644)
	if c, err := Load(f); err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Problem, "every user") {
		t.Errorf("%v", err)
	}
	chmod(t, filepath.Join(dir, "libvirt/private/serverkey.pem"), 0o644)
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), "every user") {
		t.Errorf("%v", err)
	}
	// The client's pair alone does not serve peers.
	remove(t, filepath.Join(dir, "libvirt/servercert.pem"))
	if f, err = Find(Search{Dir: dir, Layout: layout.Libvirt}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), "lacks serverAuth") {
		t.Errorf("%v", err)
	}
}

// TestFindWithAListOfItsOwn takes the CRL from where the administrator has it, and all else from
// the layout, whose own list is not read.
func TestFindWithAListOfItsOwn(t *testing.T) {
	s := newSite(t)
	root, list := t.TempDir(), filepath.Join(t.TempDir(), "list.pem")
	s.install(root, layout.Libvirt, s.host("a"))
	peer := s.host("b")
	write(t, filepath.Join(root, "etc/pki/CA/cacrl.pem"), s.crl(pki.Revocation{Number: 1}), 0o644)
	search := Search{Root: root, Files: Files{CRL: list}}
	f, err := Find(search)
	if err != nil || f.CRL != list || f.Layout != layout.Libvirt || !strings.Contains(f.Why, "with the revocation list "+list+", as configured") {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), list+": cannot be read") {
		t.Errorf("a list that is not there: %v", err)
	}
	write(t, list, s.crl(pki.Revocation{Number: 2, Revoked: []*x509.Certificate{peer.Cert}}), 0o644)
	w := watch(t, search)
	var revoked *RevokedError
	if _, cerr, _ := shake(t, w.Current().clientConfig(rules(t, "b"), settings{}), s.creds(peer).serverConfig(settings{})); !errors.As(cerr, &revoked) || revoked.File != list {
		t.Errorf("%v", cerr)
	}
	// It is followed like the rest.
	write(t, list, s.crl(pki.Revocation{Number: 3}), 0o644)
	w.becomes(t, &pki.Pair{Cert: w.Current().Leaf})
	if _, cerr, serr := shake(t, w.Current().clientConfig(rules(t, "b"), settings{}), s.creds(peer).serverConfig(settings{})); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
}

// TestFindIndexed is libvirt's second and further certificates: an RSA one beside an ECDSA one,
// say.
func TestFindIndexed(t *testing.T) {
	s := newSite(t)
	root := t.TempDir()
	s.install(root, layout.Libvirt, s.host("a"))
	add := func(i string, p *pki.Pair) {
		key, err := p.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "etc/pki/libvirt/servercert"+i+".pem"), p.CertPEM(), 0o644)
		write(t, filepath.Join(root, "etc/pki/libvirt/private/serverkey"+i+".pem"), key, 0o600)
	}
	add("0", s.issue(pki.Host{Names: []string{"a"}, Algorithm: pki.P384}))
	add("2", s.host("a")) // 1 is missing, so this one is not read
	f, err := Find(Search{Root: root})
	if err != nil || len(f.Server) != 2 || !strings.HasSuffix(f.Server[1].Cert, "servercert0.pem") {
		t.Fatalf("%+v, %v", f, err)
	}
	c, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	// A client that takes P-384 signatures alone gets the second.
	pol := settings{Policy: policy(t, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-ECDSA-SECP384R1-SHA384")}
	state, cerr, _ := shake(t, s.creds(s.issue(pki.Host{Names: []string{"b"}, Algorithm: pki.P384})).clientConfig(rules(t, "a"), pol), c.serverConfig(pol))
	if cerr != nil || len(state.PeerCertificates) == 0 || curveOf(state.PeerCertificates[0]) != 384 {
		t.Errorf("%v", cerr)
	}
	// The indexed ones alone will do as well.
	remove(t, filepath.Join(root, "etc/pki/libvirt/servercert.pem"))
	if f, err := Find(Search{Root: root}); err != nil || len(f.Server) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFindRefuses(t *testing.T) {
	for _, s := range []Search{
		{Files: Files{CA: "a"}}, {Files: Files{Cert: "a", Key: "b"}}, {Layout: "windows"},
	} {
		if _, err := Find(s); err == nil {
			t.Errorf("%+v", s)
		}
	}
	// Without a home folder the user's layout is passed over in words.
	t.Setenv("HOME", "")
	if _, err := Find(Search{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("%v", err)
	}
}

func curveOf(c *x509.Certificate) int {
	_, bits := keyOf(c)
	return bits
}
