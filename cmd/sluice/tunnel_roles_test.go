package main

import (
	"bufio"
	"crypto/x509"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/stand"
)

// Certificates for one role, as libvirt's and QEMU's documents and easy-rsa
// make them, are good for tunnels that use them in it.
func TestTunnelCertificatesOfOneRole(t *testing.T) {
	s := stand.New(t, "sluice")
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		t.Fatal(err)
	}
	for name, usage := range map[string]x509.ExtKeyUsage{"client": x509.ExtKeyUsageClientAuth, "server": x509.ExtKeyUsageServerAuth} {
		p, err := ca.Issue(pki.Host{Names: []string{name}, Usages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pki.WriteLayout(s.Path(name), pki.LayoutQEMU, pki.Set{CA: ca, Server: p, Client: p}); err != nil {
			t.Fatal(err)
		}
	}
	out := s.Echo("unix", s.Path("out.sock"))
	_, tls := s.Tunnel("server", "--listen", "tls:127.0.0.1:0", "--allow", "client", "--to", out)
	_, in := s.Tunnel("client", "--listen", "unix:"+s.Path("in.sock"), "--to", "tls:"+tls, "--tls-name", "server")
	c := s.Dial("unix", in)
	if _, err := c.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "hello\n" {
		t.Errorf("%q, %v", got, err)
	}
	// In the other role they are not.
	p := s.Start(s.Sluice, append(append([]string{"tunnel"}, s.As("client")...), "--listen", "tls:127.0.0.1:0", "--allow", "x", "--to", out)...)
	p.Await("its extended key usage lacks serverAuth")
}
