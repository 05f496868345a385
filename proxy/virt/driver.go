package virt

import (
	"context"
	"encoding/binary"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// WatchDriver has Gone tell too when virtproxyd, which stands before the QEMU driver of modular
// daemons, has lost its connection with that: it keeps its clients' own, and has an error for each
// call from then on. libvirtd, which has the driver in it, never says so.
func (v *Conn) WatchDriver(ctx context.Context) error {
	return v.Bound(ctx, v.ConnectRegisterCloseCallback)
}

// connectionClosed is REMOTE_PROC_CONNECT_EVENT_CONNECTION_CLOSED.
const connectionClosed = 362

// driverEvents looks for that event among the packets of a daemon of this host, as they are read.
type driverEvents struct {
	head []byte // of a packet that has not all been read
	left int64  // bytes of a packet behind its head, to come
}

// closed says whether the event is in the bytes that follow.
func (e *driverEvents) closed(p []byte) (is bool) {
	for len(p) > 0 {
		if e.left > 0 {
			n := min(e.left, int64(len(p)))
			e.left, p = e.left-n, p[n:]
			continue
		}
		n := min(packetHead-len(e.head), len(p))
		e.head, p = append(e.head, p[:n]...), p[n:]
		if len(e.head) < packetHead {
			break
		}
		h := libvirtrpc.ParseHead(e.head)
		is = is || h.Program == libvirtrpc.ProgramRemote && h.Type == libvirtrpc.TypeMessage && h.Procedure == connectionClosed
		e.left, e.head = int64(binary.BigEndian.Uint32(e.head))-packetHead, e.head[:0]
	}
	return is
}
