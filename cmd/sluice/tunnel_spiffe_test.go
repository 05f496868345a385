package main

import (
	"bufio"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/internal/workloadapi"
)

// Tunnels whose certificates come from a Workload API know each other by their
// IDs, and take over what it hands out next.
func TestTunnelSPIFFE(t *testing.T) {
	s := stand.New(t, "sluice")
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := workloadapi.Start(t, s.Path("a.sock")), workloadapi.Start(t, s.Path("b.sock"))
	a.Issue(t, ca, "spiffe://site/kvm/a")
	b.Issue(t, ca, "spiffe://site/kvm/b")
	out := s.Echo("unix", s.Path("out.sock"))
	server, tls := s.Tunnel("", "--spiffe", b.Addr, "--listen", "tls:127.0.0.1:0", "--allow", "spiffe://site/kvm/a", "--to", out)
	client, in := s.Tunnel("", "--spiffe", a.Addr, "--listen", "unix:"+s.Path("in.sock"), "--to", "tls:"+tls, "--tls-name", "spiffe://site/kvm/b")
	ask := func() (string, error) {
		c := s.Dial("unix", in)
		defer c.Close()
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return "", err
		}
		return bufio.NewReader(c).ReadString('\n')
	}
	if got, err := ask(); got != "hello\n" {
		t.Fatalf("%q, %v\n%s\n%s", got, err, client.Text(), server.Text())
	}
	b.Issue(t, ca, "spiffe://site/kvm/other")
	server.Await("kvm/other from the SPIFFE Workload API")
	if got, _ := ask(); got != "" {
		t.Errorf("somebody else answered %q", got)
	}
	client.Await("it holds URI:spiffe://site/kvm/other")

	a.Issue(t, ca, "spiffe://site/kvm/stranger")
	client.Await("kvm/stranger from the SPIFFE Workload API")
	b.Issue(t, ca, "spiffe://site/kvm/b")
	server.Await("kvm/b from the SPIFFE Workload API")
	if got, _ := ask(); got != "" {
		t.Errorf("a stranger got %q", got)
	}
	server.Await("its name is not allowed: it has URI:spiffe://site/kvm/stranger")
}
