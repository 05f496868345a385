// Package workloadapi is a SPIFFE Workload API server for tests, as SPIRE's agent is one.
package workloadapi

import (
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/virt-sluice/sluice/internal/pki"
)

// Agent is a server: what it serves now, and to whom it sends the next.
type Agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer

	Addr   string
	server *grpc.Server
	over   chan error

	mu      sync.Mutex
	now     *workload.X509SVIDResponse // nil: no identity for the caller
	changed chan struct{}
}

// Start serves on a unix socket until the test is over.
func Start(t *testing.T, path string) *Agent {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{Addr: "unix://" + path, server: grpc.NewServer(), changed: make(chan struct{}), over: make(chan error, 1)}
	workload.RegisterSpiffeWorkloadAPIServer(a.server, a)
	go func() { a.over <- a.server.Serve(l) }()
	t.Cleanup(func() {
		a.Stop()
		if err := <-a.over; err != nil {
			t.Error(err)
		}
	})
	return a
}

// Stop ends the server.
func (a *Agent) Stop() { a.server.Stop() }

// FetchX509SVID is the API's call.
func (a *Agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	// A server must refuse calls without this header: Workload API, section 6.
	if md, _ := metadata.FromIncomingContext(stream.Context()); !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}) {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	for {
		a.mu.Lock()
		now, changed := a.now, a.changed
		a.mu.Unlock()
		if now == nil {
			return status.Error(codes.PermissionDenied, "no identity issued")
		}
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

// Serve hands an identity out, with the CA of its trust domain and those of other domains.
func (a *Agent) Serve(t *testing.T, p *pki.Pair, ca *pki.CA, others map[string]*pki.CA) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	r := &workload.X509SVIDResponse{
		Svids:            []*workload.X509SVID{{SpiffeId: p.Cert.URIs[0].String(), X509Svid: p.Cert.Raw, X509SvidKey: key, Bundle: ca.Cert.Raw}},
		FederatedBundles: make(map[string][]byte),
	}
	for name, other := range others {
		r.FederatedBundles["spiffe://"+name] = other.Cert.Raw
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = r
	close(a.changed)
	a.changed = make(chan struct{})
}

// Issue makes a certificate for a SPIFFE ID and hands it out.
func (a *Agent) Issue(t *testing.T, ca *pki.CA, id string) *pki.Pair {
	t.Helper()
	p, err := ca.Issue(pki.Host{URIs: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	a.Serve(t, p, ca, nil)
	return p
}
