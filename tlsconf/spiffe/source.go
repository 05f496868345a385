// Package spiffe takes a host's credentials from a SPIFFE Workload API, as SPIRE's agent serves
// it, in place of files:
//
//	src, err := spiffe.New(ctx, spiffe.Config{Addr: "unix:///run/spire/agent/api.sock"})
//	go src.Run(ctx)
//	conn, peer, err := tlsconf.Connect(ctx, engine, raw, tlsconf.Client{Credentials: src.Current(), Expect: expect})
//
// Peers are then named by their SPIFFE ID: a rule is spiffe://site/kvm/host-b, or a glob. The CAs
// of a trust domain vouch for that domain's IDs alone, those of federated domains for theirs.
package spiffe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Config says where the Workload API is.
type Config struct {
	// Addr is its address, as in "unix:///run/spire/agent/api.sock"; the environment's
	// SPIFFE_ENDPOINT_SOCKET if empty (SPIFFE Workload Endpoint, section 4).
	Addr string

	// Changed is told of each new set, the first excepted; Failed of each one that is bad, and of
	// losing the connection, while the set before stays; Mended when that set comes again after
	// all. Run calls them, one at a time. Each may be nil.
	Changed func(*tlsconf.Credentials)
	Failed  func(error)
	Mended  func()
}

// Source keeps credentials that follow a Workload API.
type Source struct {
	conf    Config
	current atomic.Pointer[tlsconf.Credentials]
}

// New fetches the first set. It waits, until ctx is done, for an API that is not up yet or has
// nothing for this process.
func New(ctx context.Context, conf Config) (*Source, error) {
	if conf.Addr == "" {
		conf.Addr = os.Getenv(workloadapi.SocketEnv)
	}
	if conf.Addr == "" {
		return nil, fmt.Errorf("no SPIFFE Workload API is named: set its address in the configuration, or %s", workloadapi.SocketEnv)
	}
	s := &Source{conf: conf}
	// A watch retries where a fetch gives up.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &first{source: s, got: cancel}
	err := workloadapi.WatchX509Context(ctx, w, workloadapi.WithAddr(conf.Addr))
	if s.Current() != nil {
		return s, nil
	}
	if w.last != nil {
		err = w.last
	}
	return nil, fmt.Errorf("SPIFFE Workload API at %s: %w", conf.Addr, err)
}

// Current returns the newest good set.
func (s *Source) Current() *tlsconf.Credentials { return s.current.Load() }

// Run follows the API until ctx is done, and returns its error.
func (s *Source) Run(ctx context.Context) error {
	err := workloadapi.WatchX509Context(ctx, &following{Source: s}, workloadapi.WithAddr(s.conf.Addr))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("SPIFFE Workload API at %s: %w", s.conf.Addr, err)
}

func (s *Source) credentials(x *workloadapi.X509Context) (*tlsconf.Credentials, error) {
	if len(x.SVIDs) == 0 {
		return nil, errors.New("it has no identity for this process")
	}
	svid := x.DefaultSVID()
	set := tlsconf.X509Set{
		Layout: "spiffe", Origin: fmt.Sprintf("%s from the SPIFFE Workload API at %s", svid.ID, s.conf.Addr),
		Chain: svid.Certificates, Key: svid.PrivateKey, Domains: make(map[string][]*x509.Certificate),
	}
	for _, b := range x.Bundles.Bundles() {
		set.Domains[b.TrustDomain().Name()] = b.X509Authorities()
	}
	return tlsconf.FromSet(set)
}

// first waits for one good set.
type first struct {
	source *Source
	got    context.CancelCauseFunc
	last   error
}

var errGot = errors.New("got the first set")

func (w *first) OnX509ContextUpdate(x *workloadapi.X509Context) {
	c, err := w.source.credentials(x)
	if err != nil {
		w.last = err
		return
	}
	w.source.current.Store(c)
	w.got(errGot)
}

func (w *first) OnX509ContextWatchError(err error) {
	if w.source.Current() == nil {
		w.last = err
	}
}

// following takes up what comes.
type following struct {
	*Source
	failing string // how, as it was told; "" if it is not
}

func (s *following) OnX509ContextUpdate(x *workloadapi.X509Context) {
	c, err := s.credentials(x)
	if err != nil {
		s.OnX509ContextWatchError(err)
		return
	}
	failed := s.failing != ""
	s.failing = ""
	if c.Same(s.Current()) {
		// What New has fetched comes again, and so does what was there before an agent went away.
		if failed && s.conf.Mended != nil {
			s.conf.Mended()
		}
		return
	}
	s.current.Store(c)
	if s.conf.Changed != nil {
		s.conf.Changed(c)
	}
}

func (s *following) OnX509ContextWatchError(err error) {
	// Attempts to find an agent that is away are many, and fail alike.
	if errors.Is(err, context.Canceled) || err.Error() == s.failing {
		return
	}
	s.failing = err.Error()
	if s.conf.Failed != nil {
		s.conf.Failed(fmt.Errorf("SPIFFE Workload API at %s: the credentials loaded before stay in use: %w", s.conf.Addr, err))
	}
}
