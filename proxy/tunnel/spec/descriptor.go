package spec

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// parseFDs reads N or IN,OUT.
func parseFDs(at string) (in, out int, err error) {
	first, second, two := strings.Cut(at, ",")
	if !two {
		second = first
	}
	for _, n := range []struct {
		text string
		to   *int
	}{{first, &in}, {second, &out}} {
		v, err := strconv.ParseUint(n.text, 10, 20)
		switch {
		case err != nil:
			return 0, 0, errors.New("write fd:N, the number of a descriptor, or fd:IN,OUT for two pipes, such as fd:0,1")
		case v == 2:
			return 0, 0, errors.New("descriptor 2 is standard error, where sluice logs")
		}
		*n.to = int(v)
	}
	if two && in == out {
		return 0, 0, fmt.Errorf("both numbers are the same: write fd:%d", in)
	}
	return in, out, nil
}

// Descriptor is what was inherited under a number.
type Descriptor struct {
	FD     int
	Pipe   bool
	Flags  int           // O_RDONLY, O_WRONLY or O_RDWR
	Listen bool          // it is a socket that listens
	family int           // of a socket
	at     unix.Sockaddr // TCP: the peer's address, or where it listens
}

// inspect looks at a descriptor that this process was started with.
func inspect(fd int) (d Descriptor, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}()
	d.FD = fd
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	// What this process has opened itself is closed on exec, and what it was
	// started with cannot have been.
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return d, errors.New("sluice was not started with it: whoever starts sluice must leave it open, such as a systemd socket unit, whose first one is 3")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return d, err
	}
	if d.Flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil {
		return d, err
	}
	d.Flags &= unix.O_ACCMODE
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		d.Pipe = true
		return d, nil
	case unix.S_IFSOCK:
		return d, d.socket()
	}
	return d, errors.New("it is neither a socket nor a pipe")
}

func (d *Descriptor) socket() error {
	option := func(name int) (v int) {
		v, _ = unix.GetsockoptInt(d.FD, unix.SOL_SOCKET, name)
		return v
	}
	d.family, d.Listen = option(unix.SO_DOMAIN), option(unix.SO_ACCEPTCONN) == 1
	if option(unix.SO_TYPE) != unix.SOCK_STREAM || d.family != unix.AF_UNIX && !d.tcp() {
		return errors.New("it is a socket, and neither a TCP nor a unix stream socket")
	}
	var err error
	if d.Listen {
		d.at, err = unix.Getsockname(d.FD)
		return os.NewSyscallError("getsockname", err)
	}
	if d.at, err = unix.Getpeername(d.FD); err != nil {
		return fmt.Errorf("it is a socket that neither listens nor is connected: %w", err)
	}
	return nil
}

func (d *Descriptor) tcp() bool { return d.family == unix.AF_INET || d.family == unix.AF_INET6 }

// exposed says whether what is written to the descriptor leaves the host.
func (d *Descriptor) exposed() bool {
	switch a := d.at.(type) {
	case *unix.SockaddrInet4:
		return !net.IP(a.Addr[:]).IsLoopback()
	case *unix.SockaddrInet6:
		return !net.IP(a.Addr[:]).IsLoopback()
	}
	return false
}

// Inherited are the descriptors of an address; two of one number for a socket.
// They are looked at and left as they are.
func (a Address) Inherited() (in, out Descriptor, err error) {
	i, o, err := parseFDs(a.At)
	if err != nil {
		return in, out, err
	}
	if in, err = inspect(i); err != nil {
		return in, out, err
	}
	if out, err = inspect(o); err != nil {
		return in, out, err
	}
	switch {
	case i == o && in.Pipe && in.Flags == unix.O_RDWR:
		err = fmt.Errorf("%s: a FIFO that is open both ways would give back what is written to it", a)
	case i != o && (in.Listen || out.Listen):
		err = fmt.Errorf("%s: a listening socket must be the only descriptor", a)
	case i != o && in.Flags == unix.O_WRONLY:
		err = fmt.Errorf("%s: nothing can be read from descriptor %d", a, i)
	case i != o && out.Flags == unix.O_RDONLY:
		err = fmt.Errorf("%s: nothing can be written to descriptor %d", a, o)
	}
	return in, out, err
}
