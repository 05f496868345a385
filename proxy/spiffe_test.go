package proxy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/workloadapi"
)

// Hosts whose certificates come from a Workload API know each other by their
// IDs, and follow what it hands out.
func TestSPIFFE(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := newTestHost(t, "host-a"), newTestHost(t, "host-b")
	agentA, agentB := workloadapi.Start(t, a.Path("api.sock")), workloadapi.Start(t, b.Path("api.sock"))
	agentA.Issue(t, ca, "spiffe://site/kvm/a")
	agentB.Issue(t, ca, "spiffe://site/kvm/b")
	from := func(h *testHost, agent *workloadapi.Agent, tables string) *config.Config {
		h.Configure("", tables)
		text, err := os.ReadFile(h.Path("sluice.toml"))
		if err != nil {
			t.Fatal(err)
		}
		files := regexp.MustCompile(`(?m)^(ca|cert|key|reload) = .*\n`)
		h.Put("sluice.toml", []byte(strings.Replace(files.ReplaceAllString(string(text), ""), "[certificates]", "[certificates]\nspiffe = '"+agent.Addr+"'", 1)))
		cfg, err := config.Load(h.Path("sluice.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	b.startWith(from(b, agentB, hosttest.PeerA+"names = ['spiffe://site/kvm/a']"))
	a.startWith(from(a, agentA, peerTable(b, "names = ['spiffe://site/kvm/b']")))
	if err := a.ask("host-b"); err != nil {
		t.Fatal(err)
	}
	stream := a.echo("host-b")
	echoes(t, stream, "before")
	st := b.status().Certificates
	if st.Source != "spiffe" || !strings.Contains(st.Why, "spiffe://site/kvm/b from the SPIFFE Workload API at "+agentB.Addr) || len(st.Expiry) != 2 {
		t.Errorf("%+v", st)
	}
	found := a.checkPeer()
	finds(t, found, "ok", "TLS", "", "", "it shows URI:spiffe://site/kvm/b")

	next := agentB.Issue(t, ca, "spiffe://site/kvm/b")
	hosttest.Eventually(t, "the next certificate", func() bool { return b.now().Peers.Certs.Current().Leaf.Equal(next.Cert) })
	if err := a.ask("host-b"); err != nil {
		t.Error(err)
	}
	echoes(t, stream, "after")

	last := agentB.Issue(t, ca, "spiffe://site/kvm/other")
	hosttest.Eventually(t, "another ID", func() bool { return strings.Contains(b.status().Certificates.Why, "kvm/other") })
	hosttest.Says(t, a.ask("host-b"), "it holds URI:spiffe://site/kvm/other", "expected spiffe://site/kvm/b")

	agentB.Stop()
	hosttest.Eventually(t, "the loss in status", func() bool { return len(b.status().Certificates.ReloadErrors) == 1 })
	if _, err := b.Reload(); err != nil {
		t.Errorf("SIGHUP without files: %v", err)
	}
	// Back with the same identity: nothing is new, and nothing is wrong any more.
	workloadapi.Start(t, b.Path("api.sock")).Serve(t, last, ca, nil)
	hosttest.Eventually(t, "the agent's return in status", func() bool { return len(b.status().Certificates.ReloadErrors) == 0 })
}
