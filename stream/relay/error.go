package relay

import (
	"errors"
	"fmt"

	"github.com/virt-sluice/sluice/stream/record"
)

var (
	// ErrTruncated: the peer's connection ended without close_notify, so that
	// nobody knows whether the stream was complete.
	ErrTruncated = record.ErrTruncated

	// ErrByteLimit: the stream has more bytes than its [Budget] had left. All
	// bytes within the budget were written before the relay was reset.
	ErrByteLimit = errors.New("byte limit exceeded")
)

// Side says on which side of a relay something happened.
type Side string

const (
	// Local is the socket on this host: QEMU's or libvirt's.
	Local Side = "local"
	// Remote is the peer's connection.
	Remote Side = "remote"
	// Here is neither: the relay itself, by its context or a limit.
	Here Side = "relay"
)

// Error is how a relay failed first.
type Error struct {
	Side Side
	Op   string // "read" or "write"; empty when Side is Here
	Err  error
}

func (e *Error) Error() string {
	if e.Op == "" {
		return fmt.Sprintf("%s: %v", e.Side, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Side, e.Op, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
