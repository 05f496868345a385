package ktls

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

// MaxRecords is at least as many records as a pipe of 1 MiB can become, each of
// its 256 places one: a KeyUpdate is sent in time by it.
const MaxRecords = 512

// spliceFlags: the sockets wait in Go's poller. MORE is never given, for it would
// leave the last record open.
const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// Sender sends records that the kernel makes. It is a record.Sealer.
type Sender struct{ *Socket }

// SetKey is TLS_TX. There is no way back after the first.
func (s *Sender) SetKey(k record.Key) error { return s.setKey(tlsTX, k) }

// Next is the sequence number of the next record: the kernel's rec_seq.
func (s *Sender) Next() (seq uint64, err error) {
	// Room for the longest; the kernel wants the suite's own length.
	err = s.control(func(fd int) error {
		for _, c := range ciphers {
			var b [64]byte
			n := uint32(c.total)
			_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_TLS, tlsTX,
				uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&n)), 0)
			if errno == 0 && binary.NativeEndian.Uint16(b[2:]) == c.number {
				seq = binary.BigEndian.Uint64(b[c.total-seqLen:])
				return nil
			}
		}
		return unix.EINVAL
	})
	if err != nil {
		err = fmt.Errorf("kernel TLS: %w", os.NewSyscallError("getsockopt TLS_TX", err))
	}
	return seq, err
}

// Splice makes n bytes that are in a pipe records, and tells moved of each piece
// that the kernel has taken.
func (s *Sender) Splice(pipe, n int, moved func(int)) error {
	var err error
	cerr := s.rc.Write(func(fd uintptr) bool {
		for n > 0 {
			var got int
			got, err = retry(func() (int, error) {
				got, err := unix.Splice(pipe, nil, int(fd), nil, n, spliceFlags)
				return int(got), err
			})
			if err == unix.EAGAIN {
				push(int(fd))
				return false
			}
			if err != nil {
				return true
			}
			n -= got
			moved(got)
		}
		return true
	})
	if cerr != nil {
		return cerr
	}
	if err != nil {
		return s.opError("splice", err)
	}
	return nil
}

// push makes TCP send what it has. Before Linux 6.5 it keeps records of spliced pages back until it
// is given the last page; with its buffer full of them it would never be. Setting TCP_NODELAY,
// which is set already, is the way to say so (tcp(7)).
func push(fd int) { unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1) }

// Control sends one record that is no data, and returns when it and all before it are in TCP's
// hands. To a call that must not wait the kernel says sent of records for which TCP has no room yet
// (tls_sw_sendmsg passes over EAGAIN), and a FIN does not wait for those; a call that may wait
// returns after the last of them, so this one may.
func (s *Sender) Control(typ byte, content []byte) error {
	oob := make([]byte, unix.CmsgSpace(1))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.SOL_TLS, setRecordType
	h.SetLen(unix.CmsgLen(1))
	oob[unix.CmsgLen(0)] = typ
	var err error
	cerr := s.rc.Write(func(fd uintptr) bool {
		push(int(fd))
		if err = unix.SetNonblock(int(fd), false); err != nil {
			return true
		}
		defer unix.SetNonblock(int(fd), true)
		err = s.wait(func() error {
			_, err := unix.SendmsgN(int(fd), content, oob, nil, unix.MSG_NOSIGNAL)
			return err
		})
		return true
	})
	if cerr != nil {
		return cerr
	}
	if err != nil {
		return s.opError("sendmsg", err)
	}
	return nil
}
