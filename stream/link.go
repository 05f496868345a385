package stream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// link names the connection between this host and a peer, for messages.
type link struct {
	host, peer, address string
	idle                time.Duration // silence that the control channel bears
}

// cause says in words how the connection of a channel broke.
func (l link) cause(channel string, err error) *Cause {
	c := &Cause{Code: CodeLink, Host: l.host, Channel: channel, symptom: true}
	peer := fmt.Sprintf("%s (%s)", l.peer, l.address)
	var op *net.OpError
	switch {
	case errors.Is(err, errMemory):
		c.Code, c.symptom, c.Text = CodeLimit, false, fmt.Sprintf("from %s: %v", peer, err)
	case errors.Is(err, ErrFrame):
		c.Code, c.symptom = CodeProtocol, false
		c.Text = fmt.Sprintf("%s sent what is not of this protocol: %v", peer, err)
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls's, for an alert
		c.Code, c.symptom = CodeRefused, false
		c.Text = fmt.Sprintf("%s refused this host's TLS: %v", peer, op.Err)
	case errors.Is(err, relay.ErrTruncated):
		c.Text = fmt.Sprintf("the connection with %s ended without TLS's close_notify: its sluice was killed, or something between cut it", peer)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.Text = fmt.Sprintf("the connection with %s was reset, without TLS's close_notify: its sluice was killed, or something between cut it", peer)
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.Text = fmt.Sprintf("%s closed the connection in the middle of a frame", peer)
	case errors.Is(err, io.EOF):
		c.Text = fmt.Sprintf("%s closed the connection without saying why", peer)
	case errors.Is(err, errStalled):
		c.Text = fmt.Sprintf("the connection with %s is %v: the link is down, or the host is frozen", peer, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.Text = fmt.Sprintf("nothing heard from %s for %v (limits.idle_timeout): the link is down, or the host is frozen", peer, l.idle)
	default:
		c.Text = fmt.Sprintf("the connection with %s broke: %v", peer, err)
	}
	return c.printable()
}
