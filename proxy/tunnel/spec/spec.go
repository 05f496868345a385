package spec

import (
	"errors"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/tlsconf"
)

// Defaults of Limits.
const (
	DefaultConnections = 512
	DefaultHandshake   = 10 * time.Second
)

// Spec is what is written of one tunnel. Listen and To must be set, and with TLS the names of the
// other side.
type Spec struct {
	Listen, To Address

	TLS  string // Yes, No, or empty for the host's default; see Effect
	Host Host

	// Names has those of which the server must have one, where To has TLS; the host of To if empty.
	Names tlsconf.Rules
	Allow tlsconf.Rules // which clients are let in, where Listen has TLS

	// StartTLS is a protocol in which peers ask for TLS before it begins: NBD, or
	// empty for TLS from the first byte.
	StartTLS string
	// LaxEnd takes a connection's end without close_notify for an orderly one, as QEMU's and
	// GnuTLS's programs make it. Nobody can tell then whether the stream was complete.
	LaxEnd bool

	// SocketUser is a uid that may connect to the unix socket at Listen, besides this process's.
	SocketUser *int

	Limits Limits
}

// NBD is a value of Spec.StartTLS.
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
	// Bandwidth is bytes per second each way, of all connections together. None if zero or less.
	Bandwidth int64
}

// ErrNobody: TLS is to be served, and no client's name is allowed.
var ErrNobody = errors.New("nobody would be let in: no client's name is allowed")

// Check says what is wrong, or returns nil. Inherited descriptors are not looked at: where there
// are some, CheckTLS has to be asked with their Effect.
func (s Spec) Check() error {
	if err := s.To.Connects(); err != nil {
		return err
	}
	switch {
	case s.Listen.Kind == "":
		return errors.New("there is no address to listen at")
	case s.Listen == s.To && s.Listen.Kind != Exec:
		return fmt.Errorf("the tunnel would connect to itself: %s", s.To)
	case s.StartTLS != "" && s.StartTLS != NBD:
		return fmt.Errorf("starttls may be %q or empty, not %q", NBD, s.StartTLS)
	case s.SocketUser != nil && s.Listen.Kind != Unix:
		return fmt.Errorf("only the socket of unix:PATH can have a user, not %s", s.Listen)
	}
	if s.Listen.Kind == FD || s.To.Kind == FD {
		return nil
	}
	e, err := s.Effect()
	if err != nil {
		return err
	}
	return s.CheckTLS(e)
}

// CheckTLS says what the sides with TLS lack, or returns nil.
func (s Spec) CheckTLS(e Effect) error {
	switch {
	case e.To && s.Names.Empty() && s.To.Host() == "":
		return errors.New("no server would be accepted: no name is expected of it")
	case e.Listen && s.Allow.Empty():
		return ErrNobody
	case s.StartTLS != "" && !e.Listen && !e.To:
		return fmt.Errorf("%s asks for TLS, and neither side has it (%s)", s.StartTLS, e.Why)
	}
	return nil
}
