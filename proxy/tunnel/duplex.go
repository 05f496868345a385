package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// duplex is a stream of two descriptors, one for each direction. What a pipe cannot do it does not
// pretend: closing is an end of file to whoever reads, whatever the reason.
type duplex struct {
	at      spec.Address
	in, out *os.File // one may be nil: that direction is at its end from the beginning
}

// Read returns io.EOF at once where there is nothing to read from.
func (d *duplex) Read(p []byte) (int, error) {
	if d.in == nil {
		return 0, io.EOF
	}
	return d.in.Read(p)
}

var errReadOnly = errors.New("it is the reading end of a pipe and cannot be written to")

func (d *duplex) Write(p []byte) (int, error) {
	if d.out == nil {
		return 0, errReadOnly
	}
	return d.out.Write(p)
}

// CloseWrite is the end of file for who reads from out.
func (d *duplex) CloseWrite() error {
	if d.out == nil {
		return nil
	}
	rc, err := d.out.SyscallConn()
	if err != nil {
		return err
	}
	var shut error
	if err := rc.Control(func(fd uintptr) { shut = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	if errors.Is(shut, unix.ENOTSOCK) {
		return d.out.Close()
	}
	return os.NewSyscallError("shutdown", shut)
}

func (d *duplex) Close() error {
	for _, f := range d.files() {
		f.Close()
	}
	return nil
}

func (d *duplex) files() (all []*os.File) {
	for _, f := range []*os.File{d.in, d.out} {
		if f != nil {
			all = append(all, f)
		}
	}
	return all
}

func (d *duplex) LocalAddr() net.Addr  { return d.at }
func (d *duplex) RemoteAddr() net.Addr { return d.at }

func (d *duplex) SetDeadline(t time.Time) error {
	return errors.Join(d.SetReadDeadline(t), d.SetWriteDeadline(t))
}

func (d *duplex) SetReadDeadline(t time.Time) error {
	if d.in == nil {
		return nil
	}
	return d.in.SetReadDeadline(t)
}

func (d *duplex) SetWriteDeadline(t time.Time) error {
	if d.out == nil {
		return nil
	}
	return d.out.SetWriteDeadline(t)
}
