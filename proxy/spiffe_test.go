package proxy

import (
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/pki"
)

// spireAgent is a Workload API for one host.
type spireAgent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	t       *testing.T
	addr    string
	server  *grpc.Server
	mu      sync.Mutex
	now     *workload.X509SVIDResponse
	changed chan struct{}
}

func startAgent(t *testing.T, path string) *spireAgent {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	a := &spireAgent{t: t, addr: "unix://" + path, server: grpc.NewServer(), changed: make(chan struct{})}
	workload.RegisterSpiffeWorkloadAPIServer(a.server, a)
	var serving sync.WaitGroup
	serving.Go(func() { a.server.Serve(l) })
	t.Cleanup(func() {
		a.server.Stop()
		serving.Wait()
	})
	return a
}

func (a *spireAgent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	for {
		a.mu.Lock()
		now, changed := a.now, a.changed
		a.mu.Unlock()
		if err := stream.Send(now); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// issue hands a new identity out.
func (a *spireAgent) issue(ca *pki.CA, id string) *pki.Pair {
	a.t.Helper()
	p, err := ca.Issue(pki.Host{URIs: []string{id}})
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serve(&workload.X509SVIDResponse{Svids: []*workload.X509SVID{{SpiffeId: id, X509Svid: p.Cert.Raw, X509SvidKey: key, Bundle: ca.Cert.Raw}}})
	return p
}

func (a *spireAgent) serve(r *workload.X509SVIDResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = r
	close(a.changed)
	a.changed = make(chan struct{})
}

// Hosts whose certificates come from a Workload API know each other by their
// IDs, and follow what it hands out.
func TestSPIFFE(t *testing.T) {
	ca := newAuthority(t, "CA")
	a, b := newTestHost(t, "host-a"), newTestHost(t, "host-b")
	agentA, agentB := startAgent(t, a.path("api.sock")), startAgent(t, b.path("api.sock"))
	agentA.issue(ca, "spiffe://site/kvm/a")
	agentB.issue(ca, "spiffe://site/kvm/b")
	from := func(h *testHost, agent *spireAgent, tables string) *config.Config {
		cfg := h.configure("", tables)
		cfg.Certificates = config.Certificates{SPIFFE: agent.addr}
		return cfg
	}
	b.startWith(from(b, agentB, peerA+"names = ['spiffe://site/kvm/a']"))
	a.startWith(from(a, agentA, peerTable(b, "names = ['spiffe://site/kvm/b']")))
	if err := a.ask("host-b"); err != nil {
		t.Fatal(err)
	}
	stream := a.echo("host-b")
	echoes(t, stream, "before")
	st := b.status().Certificates
	if st.Source != "spiffe" || !strings.Contains(st.Why, "spiffe://site/kvm/b from the SPIFFE Workload API at "+agentB.addr) || len(st.Expiry) != 2 {
		t.Errorf("%+v", st)
	}
	found := a.checkPeer()
	finds(t, found, "ok", "TLS", "", "", "it shows URI:spiffe://site/kvm/b")

	next := agentB.issue(ca, "spiffe://site/kvm/b")
	eventually(t, "the next certificate", func() bool { return b.certs.current().Leaf.Equal(next.Cert) })
	if err := a.ask("host-b"); err != nil {
		t.Error(err)
	}
	echoes(t, stream, "after")

	agentB.issue(ca, "spiffe://site/kvm/other")
	eventually(t, "another ID", func() bool { return strings.Contains(b.status().Certificates.Why, "kvm/other") })
	says(t, a.ask("host-b"), "it holds URI:spiffe://site/kvm/other", "expected spiffe://site/kvm/b")

	agentB.server.Stop()
	eventually(t, "the loss in status", func() bool { return len(b.status().Certificates.ReloadErrors) == 1 })
	if err := b.Reload(); err != nil {
		t.Errorf("SIGHUP without files: %v", err)
	}
	// Back with the same identity: nothing is new, and nothing is wrong any more.
	startAgent(t, b.path("api.sock")).serve(agentB.now)
	eventually(t, "the agent's return in status", func() bool { return len(b.status().Certificates.ReloadErrors) == 0 })
}
