package tunnel

import (
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// maxHandshakes is how many connections may be on their way at once, from
// accept to the target's answer.
const maxHandshakes = 64

// buffers is what the connections of a tunnel borrow together to move bytes.
const buffers = 64 << 20

// Options say what a tunnel joins, and how. With TLS Credentials must be set.
type Options struct {
	spec.Spec

	Credentials Credentials            // for a side with TLS
	Policy      func() *tlsconf.Policy // as it is now; nil is TLS 1.3 with Go's suites

	Path    relay.Path   // of the side with TLS; relay.Auto if empty
	Kernel  relay.Kernel // as relay.TLS has it
	Workers int          // as relay.Options has it

	// Send and Receive limit bytes to the side with TLS and from it, besides Spec.Limits.
	Send, Receive []*relay.Limiter

	// Ended is told of each connection once, from several goroutines. May be nil.
	Ended func(Report)
	// Sockets, if not nil, has the listening socket of a name, or makes it by open.
	Sockets func(name string, open func() (net.Listener, error)) (net.Listener, error)
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
	Began   time.Time
	Took    time.Duration
	Version string // of TLS, such as TLS1.3; empty without
	Suite   string // IANA's name
	Command string // how a command ended, with its last words if it failed; empty without one
	relay.Result
}

// check says what is wrong with the options, or returns nil, and which side has TLS. Of Credentials
// it says nothing.
func (o Options) check() (e spec.Effect, err error) {
	if err := o.Check(); err != nil {
		return e, err
	}
	switch {
	case o.Path != relay.Auto && o.Path != relay.KTLS && o.Path != relay.Records && o.Path != relay.CryptoTLS:
		return e, fmt.Errorf("there is no path %q for TLS here", o.Path)
	case o.Workers < 0:
		return e, fmt.Errorf("the number of workers cannot be %d", o.Workers)
	}
	if e, err = o.Effect(); err != nil {
		return e, err
	}
	return e, o.CheckTLS(e)
}

func (o Options) withDefaults() (Options, error) {
	if o.Limits.Connections == 0 {
		o.Limits.Connections = spec.DefaultConnections
	}
	if o.Limits.Handshake == 0 {
		o.Limits.Handshake = spec.DefaultHandshake
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

// keepAlive finds a dead peer on a connection that is silent, and deadLink one to which bytes are
// on their way, in the same time.
const deadLink = 90 * time.Second

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}
