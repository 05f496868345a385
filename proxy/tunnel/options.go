package tunnel

import (
	"errors"
	"fmt"
	"net"
	"time"

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

	Credentials Credentials     // for a side with TLS
	Policy      *tlsconf.Policy // nil is TLS 1.3 with Go's suites
	Names       tlsconf.Rules   // what the server must have one of, where To is with TLS
	Allow       tlsconf.Rules   // which clients are let in, where Listen is with TLS

	Path    relay.Path // of the side with TLS; relay.Auto if empty
	Workers int        // as relay.Options has it

	// Connections is how many there may be at once; those beyond wait in the
	// kernel's queue. DefaultConnections if zero.
	Connections int
	// Handshake is how long a connection may take from accept to the target's
	// answer, both sides' handshakes included. DefaultHandshake if zero.
	Handshake time.Duration

	// Ended is told of each connection once, from several goroutines. May be nil.
	Ended func(Report)
	// Trouble is told what keeps connections from being accepted. May be nil.
	Trouble func(error)
}

// Credentials are this host's certificates as they are now; a *tlsconf.Store.
type Credentials interface {
	Current() *tlsconf.Credentials
}

// Report is how one connection ended.
type Report struct {
	Number  int64  // from 1, in the order of their arrival
	From    string // the client's address; with TLS its names, too
	Took    time.Duration
	Version string // of TLS, such as TLS1.3; empty without
	Suite   string // IANA's name
	relay.Result
}

// Check says what is wrong with the options, or nil; of Credentials it says
// nothing.
func (o Options) Check() error {
	if err := o.To.Connects(); err != nil {
		return err
	}
	server, client := o.Listen.Kind == TLS, o.To.Kind == TLS
	switch {
	case server && client:
		return errors.New("both sides are tls:, and a tunnel begins or ends TLS; to pass on what is encrypted already, write tcp: for both")
	case client && o.Names.Empty():
		return errors.New("no server would be accepted: no name is expected of it")
	case server && o.Allow.Empty():
		return errors.New("nobody would be let in: no client's name is allowed")
	case o.Listen.Kind == "":
		return errors.New("there is no address to listen at")
	case o.Listen == o.To:
		return fmt.Errorf("the tunnel would lead to itself: %s", o.To)
	case o.Path != relay.Auto && o.Path != relay.Records && o.Path != relay.CryptoTLS:
		return fmt.Errorf("there is no path %q for TLS here", o.Path)
	case o.Workers < 0:
		return fmt.Errorf("%d workers are not possible", o.Workers)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Handshake == 0 {
		o.Handshake = DefaultHandshake
	}
	return o
}

// keepAlive finds a dead peer on a connection that is silent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
