package test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
)

// clients are the libvirt clients that host-b lets in.
const clients = `[peers.host-a]
[clients.operators]
names = ["operator"]
access = "full"
[clients.lookers]
names = ["looker"]
access = "read-only"
[clients.movers]
names = ["mover"]
access = "migrate"
`

// tlsURI is host-b's libvirt over TLS, for a client with that certificate.
func (s *site) tlsURI(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	if _, err := os.Stat(dir); err != nil {
		s.check(os.Mkdir(dir, 0o700))
		pair, err := s.ca.Issue(pki.Host{Names: []string{name}})
		s.check(err)
		key, err := pair.KeyPEM()
		s.check(err)
		for file, content := range map[string][]byte{"cacert.pem": s.ca.CertPEM(), "clientcert.pem": pair.CertPEM(), "clientkey.pem": key} {
			s.check(os.WriteFile(filepath.Join(dir, file), content, 0o600))
		}
	}
	return "qemu+tls://host-b/system?pkipath=" + dir
}

func TestTLSClients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: clients})
	g := s.guestOn(s.B, lab.GuestSpec{})
	virsh := func(who string, args ...string) (string, string, int) {
		t.Helper()
		return s.run(s.A, "virsh", append([]string{"-q", "-c", s.tlsURI(who)}, args...)...)
	}
	for _, who := range []string{"operator", "looker", "mover"} {
		if out, errs, status := virsh(who, "list", "--name"); status != 0 || strings.TrimSpace(out) != g.Name {
			t.Errorf("%s: virsh list: %s%s", who, out, errs)
		}
	}
	for _, c := range []struct {
		who, words string
		args       []string
	}{
		{"looker", "read only access", []string{"suspend", g.Name}},
		{"looker", "read only access", []string{"destroy", g.Name}},
		{"mover", "access denied: DOMAIN_SUSPEND", []string{"suspend", g.Name}},
		{"mover", `clients.movers.access = "full" on host-b`, []string{"suspend", g.Name}},
		{"nobody", "access denied: ", []string{"list"}},
		{"nobody", "[clients.NAME]", []string{"list"}},
	} {
		_, errs, status := virsh(c.who, c.args...)
		if status == 0 {
			t.Errorf("%s: virsh %s succeeded", c.who, c.args)
		}
		says(t, c.who, errs, c.words)
	}
	b.logged("connection refused", "nobody", "[clients.NAME]")
	for _, args := range [][]string{{"suspend", g.Name}, {"dumpxml", g.Name}, {"resume", g.Name}, {"domstate", g.Name}} {
		if out, errs, status := virsh("operator", args...); status != 0 {
			t.Errorf("operator: virsh %s: %s%s", args, out, errs)
		}
	}
	b.logged("client operators (", "operator", "libvirt client connected")
	s.onlyOn(g, s.B)
}

// go-libvirt's own TLS dialer works unchanged.
func TestGoLibvirtOverTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start(s.B, conf{peers: clients, names: []string{"host-b", "localhost"}})
	s.tlsURI("operator")
	// It dials by itself; this leads it into the host's network.
	l, err := net.Listen("tcp", "localhost:0")
	s.check(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			far, err := s.A.Dial(s.ctx, "tcp", "host-b:16514")
			if err != nil {
				c.Close()
				return
			}
			go func() {
				io.Copy(far, c)
				far.Close()
			}()
			go func() {
				io.Copy(c, far)
				c.Close()
			}()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	s.check(err)
	v := libvirt.NewWithDialer(dialers.NewTLS("localhost", dialers.UseTLSPort(port), dialers.UsePKIPath(filepath.Join(s.dir, "operator"))))
	s.check(v.ConnectToURI(libvirt.QEMUSystem))
	name, err := v.ConnectGetHostname()
	if err != nil || name != "host-b" {
		t.Errorf("%q, %v", name, err)
	}
	s.check(v.Disconnect())
	s.nothingLeft()
}

// A source without a sluice brings guests over TLS: tunnelled, or with QEMU's
// own TLS, but not in clear.
func TestTLSMigration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: clients})
	g := s.guest(lab.GuestSpec{})
	uri := s.tlsURI("mover")
	migrate := func(args ...string) (string, int) {
		t.Helper()
		_, errs, status := s.run(s.A, "virsh", append([]string{"-q", "migrate", "--live", "--p2p", g.Name, uri}, args...)...)
		return errs, status
	}
	for _, args := range [][]string{nil, {"--migrateuri", "tcp:host-b:49200"}} {
		errs, status := migrate(args...)
		if status == 0 {
			t.Fatal("memory went in clear")
		}
		says(t, "virsh", errs, "sluice on host-b", "in clear", "--tls or --tunnelled")
	}
	b.logged("migration refused", "client movers (", "mover", "in clear")
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	if errs, status := migrate("--tunnelled"); status != 0 {
		t.Fatalf("virsh: %s", errs)
	}
	s.onlyOn(g, s.B)
}

// qemuCertificates puts certificates for QEMU's own TLS on both hosts, for as
// long as the test, of these names or, without any, of each host's own.
func (s *site) qemuCertificates(names ...string) {
	s.t.Helper()
	for _, h := range s.Hosts() {
		of := names
		if len(of) == 0 {
			of = []string{h.Name}
		}
		pair, err := s.ca.Issue(pki.Host{Names: of})
		s.check(err)
		dir := h.Path("/etc/pki/qemu")
		keys, err := pki.WriteLayout(dir, pki.LayoutQEMU, pki.Set{CA: s.ca, Server: pair, Client: pair})
		s.check(err)
		s.check(lab.GiveToQEMU(keys...))
		s.t.Cleanup(func() { // not the folder: libvirtd wants it when it starts
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, f := range files {
				os.Remove(f)
			}
		})
	}
}

// QEMU's own TLS, which the user asks for, is left to QEMU.
func TestVirshNativeTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	s.qemuCertificates()
	g := s.guest(lab.GuestSpec{})
	a.virshStart(g, "--p2p", "--tls").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "QEMU's own TLS")
	s.nothingLeft()
}
