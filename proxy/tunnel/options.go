package tunnel

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Defaults of Options.
const (
	DefaultConnections = 512
	DefaultHandshake   = 10 * time.Second
)

// maxHandshakes is how many connections may be on their way at once, from
// accept to the target's answer.
const maxHandshakes = 64

// Options say what a tunnel joins. Listen and To must be set, and with TLS
// Credentials and the names of the other side.
type Options struct {
	Listen, To Address

	TLS  string // Yes, No, or empty for the host's default; see Effect
	Host Host

	Credentials Credentials            // for a side with TLS
	Policy      func() *tlsconf.Policy // as it is now; nil is TLS 1.3 with Go's suites
	Names       tlsconf.Rules          // what the server must have one of, where To is with TLS; its host if empty
	Allow       tlsconf.Rules          // which clients are let in, where Listen is with TLS

	// StartTLS is a protocol in which peers ask for TLS before it begins: NBD, or
	// empty for TLS from the first byte.
	StartTLS string
	// LaxEnd takes a connection's end without close_notify for an orderly one, as
	// QEMU's and GnuTLS's programs make it. Nobody can tell then whether the stream
	// was complete.
	LaxEnd bool

	Path    relay.Path   // of the side with TLS; relay.Auto if empty
	Kernel  relay.Kernel // as relay.TLS has it
	Workers int          // as relay.Options has it

	// SocketUser is the uid that owns the unix socket which is listened at; nil is
	// this process's.
	SocketUser *int

	Limits Limits

	// Ended is told of each connection once, from several goroutines. May be nil.
	Ended func(Report)
	// Trouble is told what keeps connections from being accepted. May be nil.
	Trouble func(error)
}

// NBD is a value of Options.StartTLS.
const NBD = "nbd"

// Limits bound what a tunnel takes of this host.
type Limits struct {
	// Connections is how many there may be at once; those beyond wait in the
	// kernel's queue. DefaultConnections if zero.
	Connections int
	// Handshake is how long a connection may take from accept to the target's
	// answer, both sides' handshakes included. DefaultHandshake if zero.
	Handshake time.Duration
	// Idle ends a connection in which no byte has moved for so long, or up to an
	// eighth longer. None if zero or less.
	Idle time.Duration
	// Bandwidth is bytes per second each way, of all connections together. None if
	// zero or less.
	Bandwidth int64
	// Send and Receive have to agree as well: to the side with TLS and from it.
	Send, Receive []*rate.Limiter
}

// Credentials are this host's certificates as they are now; a *tlsconf.Store.
type Credentials interface {
	Current() *tlsconf.Credentials
}

// Report is how one connection ended.
type Report struct {
	Number  int64  // from 1, in the order of their arrival
	From    string // the client's address; with TLS its names, too
	Began   time.Time
	Took    time.Duration
	Version string // of TLS, such as TLS1.3; empty without
	Suite   string // IANA's name
	Command string // how a command ended, with its last words if it failed; empty without one
	relay.Result
}

// ErrNobody: TLS is to be served, and no client's name is allowed.
var ErrNobody = errors.New("nobody would be let in: no client's name is allowed")

// Check says what is wrong with the options, or nil. Of Credentials and of
// inherited descriptors it says nothing, and where there are such, neither of TLS.
func (o Options) Check() error {
	if err := o.To.Connects(); err != nil {
		return err
	}
	switch {
	case o.Listen.Kind == "":
		return errors.New("there is no address to listen at")
	case o.Listen == o.To && o.Listen.Kind != Exec:
		return fmt.Errorf("the tunnel would lead to itself: %s", o.To)
	case o.StartTLS != "" && o.StartTLS != NBD:
		return fmt.Errorf("before TLS there may be %q or nothing, not %q", NBD, o.StartTLS)
	case o.Path != relay.Auto && o.Path != relay.KTLS && o.Path != relay.Records && o.Path != relay.CryptoTLS:
		return fmt.Errorf("there is no path %q for TLS here", o.Path)
	case o.Workers < 0:
		return fmt.Errorf("%d workers are not possible", o.Workers)
	case o.SocketUser != nil && o.Listen.Kind != Unix:
		return fmt.Errorf("a user may own the socket of unix:PATH, not %s", o.Listen)
	}
	if o.Listen.Kind == FD || o.To.Kind == FD {
		return nil
	}
	e, err := o.Effect()
	if err != nil {
		return err
	}
	return o.checkTLS(e)
}

// checkTLS says what the sides with TLS lack.
func (o Options) checkTLS(e Effect) error {
	switch {
	case e.To && o.Names.Empty() && o.To.Host() == "":
		return errors.New("no server would be accepted: no name is expected of it")
	case e.Listen && o.Allow.Empty():
		return ErrNobody
	case o.StartTLS != "" && !e.Listen && !e.To:
		return fmt.Errorf("%s asks for TLS, and neither side has it (%s)", o.StartTLS, e.Why)
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Limits.Connections == 0 {
		o.Limits.Connections = DefaultConnections
	}
	if o.Limits.Handshake == 0 {
		o.Limits.Handshake = DefaultHandshake
	}
	if o.Names.Empty() && o.To.Host() != "" {
		var err error
		if o.Names, err = tlsconf.ParseRules([]string{o.To.Host()}); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o Options) policy() *tlsconf.Policy {
	if o.Policy == nil {
		return nil
	}
	return o.Policy()
}

// keepAlive finds a dead peer on a connection that is silent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
