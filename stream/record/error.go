package record

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

var (
	// ErrTruncated: the connection ended without close_notify, so that nobody
	// knows whether the stream was complete.
	ErrTruncated = errors.New("stream cut off: the connection ended without close_notify")

	// ErrUnsupported: the handshake's result is not for this package, which
	// speaks TLS 1.3 with its three AEAD suites. crypto/tls can go on.
	ErrUnsupported = errors.New("record: not TLS 1.3 with a supported cipher suite")
)

// Alerts that we send (RFC 8446, B.2). tls.AlertError names them.
const (
	alertCloseNotify       = 0
	alertUnexpectedMessage = 10
	alertBadRecordMAC      = 20
	alertRecordOverflow    = 22
	alertIllegalParameter  = 47
	alertDecodeError       = 50
	alertInternalError     = 80
	alertUserCanceled      = 90
)

// localAlert is an error that we tell the peer by that alert.
type localAlert byte

func (a localAlert) Error() string { return fmt.Sprintf("record: %v", tls.AlertError(a)) }
func (a localAlert) Unwrap() error { return tls.AlertError(a) }

// remoteAlert is the error for an alert that the peer sent: as crypto/tls says it.
func remoteAlert(a byte) error {
	return &net.OpError{Op: "remote error", Err: tls.AlertError(a)}
}
