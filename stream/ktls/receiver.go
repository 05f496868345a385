package ktls

import (
	"crypto/tls"
	"io"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

// Alerts for what the kernel finds wrong (RFC 8446, 6.2).
const (
	alertUnexpectedMessage = tls.AlertError(10)
	alertBadRecordMAC      = tls.AlertError(20)
	alertRecordOverflow    = tls.AlertError(22)
)

const typeData = 23 // RFC 8446, B.1

// Receiver receives records that the kernel opens. It is a record.Opener.
type Receiver struct {
	*Socket
	err     error // of Splice, which the kernel tells once
	notData bool  // Splice found something else, which is there
}

// SetKey is TLS_RX: the first time, and after each KeyUpdate.
func (r *Receiver) SetKey(k record.Key) error { return r.setKey(tlsRX, k) }

// Splice puts up to n bytes of one record of data into a pipe. It waits for them only if it may. 0
// says that there was none, or, if it may wait, that something else came, which Open has.
func (r *Receiver) Splice(pipe, n int, wait bool) (got int, err error) {
	cerr := r.rc.Read(func(fd uintptr) bool {
		got, err = retry(func() (int, error) {
			got, err := unix.Splice(int(fd), nil, pipe, nil, n, spliceFlags)
			return int(got), err
		})
		return err != unix.EAGAIN || !wait
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err == unix.EINVAL:
		r.notData = true
	case err != nil && err != unix.EAGAIN:
		r.err = err
	}
	return got, nil
}

// Open waits for data, or one record of another type, and puts its content into
// p. An end of the connection is io.EOF.
func (r *Receiver) Open(p []byte) (n int, typ byte, err error) {
	if r.err != nil {
		return 0, 0, r.fault(r.err)
	}
	var oob [64]byte
	var oobn int
	cerr := r.rc.Read(func(fd uintptr) bool {
		n, err = retry(func() (n int, err error) {
			n, oobn, _, _, err = unix.Recvmsg(int(fd), p, oob[:], unix.MSG_DONTWAIT)
			return n, err
		})
		if err == unix.EAGAIN && r.notData {
			err = unix.EINVAL // that was an error then, and no record of another type
		}
		r.notData = false
		return err != unix.EAGAIN
	})
	if cerr != nil {
		return 0, 0, cerr
	}
	if err != nil {
		return 0, 0, r.fault(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, 0, r.opError("recvmsg", err)
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_TLS && m.Header.Type == getRecordType && len(m.Data) > 0 {
			return n, m.Data[0], nil
		}
	}
	if n == 0 {
		return 0, 0, io.EOF
	}
	return n, typeData, nil
}

// fault is what an error of the kernel's is about. The socket is freed of it, so
// that the peer can be told.
func (r *Receiver) fault(err error) error {
	r.control(func(fd int) error {
		_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	})
	switch err {
	case unix.EBADMSG:
		return alertBadRecordMAC
	case unix.EMSGSIZE:
		return alertRecordOverflow
	case unix.EINVAL:
		return alertUnexpectedMessage
	}
	return r.opError("recvmsg", err)
}
