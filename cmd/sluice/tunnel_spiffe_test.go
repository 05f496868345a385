package main

import (
	"bufio"
	"path/filepath"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/workloadapi"
)

// Tunnels whose certificates come from a Workload API know each other by their
// IDs, and take over what it hands out next.
func TestTunnelSPIFFE(t *testing.T) {
	ts := newTunnels(t)
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := workloadapi.Start(t, filepath.Join(ts.dir, "a.sock")), workloadapi.Start(t, filepath.Join(ts.dir, "b.sock"))
	a.Issue(t, ca, "spiffe://site/kvm/a")
	b.Issue(t, ca, "spiffe://site/kvm/b")
	out := ts.echo("unix", filepath.Join(ts.dir, "out.sock"))
	server, tls := ts.tunnel("--spiffe", b.Addr, "--listen", "tls:127.0.0.1:0", "--allow", "spiffe://site/kvm/a", "--to", out)
	client, in := ts.tunnel("--spiffe", a.Addr, "--listen", "unix:"+filepath.Join(ts.dir, "in.sock"), "--to", tls, "--tls-name", "spiffe://site/kvm/b")
	ask := func() (string, error) {
		c := ts.dial(in)
		defer c.Close()
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return "", err
		}
		return bufio.NewReader(c).ReadString('\n')
	}
	if got, err := ask(); got != "hello\n" {
		t.Fatalf("%q, %v\n%s\n%s", got, err, client.output(), server.output())
	}
	b.Issue(t, ca, "spiffe://site/kvm/other")
	server.await("kvm/other from the SPIFFE Workload API")
	if got, _ := ask(); got != "" {
		t.Errorf("somebody else answered %q", got)
	}
	client.await("it holds URI:spiffe://site/kvm/other")

	a.Issue(t, ca, "spiffe://site/kvm/stranger")
	client.await("kvm/stranger from the SPIFFE Workload API")
	b.Issue(t, ca, "spiffe://site/kvm/b")
	server.await("kvm/b from the SPIFFE Workload API")
	if got, _ := ask(); got != "" {
		t.Errorf("a stranger got %q", got)
	}
	server.await("its name is not let in: it holds URI:spiffe://site/kvm/stranger")
}
