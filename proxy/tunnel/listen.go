package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/acl"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// listen makes what connections come from. A socket at a path may be used by its owner alone, and
// by root; one that an earlier process has left there is replaced.
func (o Options) listen() (net.Listener, error) {
	a := o.Listen
	switch a.Kind {
	case spec.FD:
		in, out, err := a.Inherited()
		if err != nil {
			return nil, err
		}
		if in.Listen {
			return takeListener(a, in)
		}
		c, err := takeStream(a, in, out)
		if err != nil {
			return nil, err
		}
		return &once{at: a, make: func() (net.Conn, error) { return c, nil }}, nil
	case spec.Exec:
		return &once{at: a, make: func() (net.Conn, error) { return start(a) }}, nil
	}
	if o.Sockets == nil {
		return o.open()
	}
	return o.Sockets("tunnel at "+a.String(), o.open)
}

// open makes a socket of TCP, or at a path.
func (o Options) open() (net.Listener, error) {
	a := o.Listen
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	switch {
	case a.Kind == spec.Unix:
		lc.Control = ownerAlone
	case a.Host() == spec.Localhost:
		lc.Control = onLoopback
	}
	l, err := lc.Listen(context.Background(), a.Network(), a.At)
	if errors.Is(err, unix.EADDRINUSE) && a.Kind == spec.Unix && abandoned(a.At) {
		if err := os.Remove(a.At); err != nil {
			return nil, fmt.Errorf("remove the socket that an earlier process has left: %w", err)
		}
		l, err = lc.Listen(context.Background(), a.Network(), a.At)
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%s is already in use", a)
	case err != nil:
		return nil, fmt.Errorf("listen at %s: %w", a, err)
	}
	if o.SocketUser != nil {
		if err := o.letUser(); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// letUser lets the socket's user connect, and no other but this process's.
func (o Options) letUser() error {
	err := takeBack(o.Listen.At)
	if err == nil && o.SocketUser != nil {
		err = acl.Grant(o.Listen.At, *o.SocketUser, acl.Read|acl.Write)
	}
	if err != nil {
		return fmt.Errorf("let a user connect to %s: %w", o.Listen, err)
	}
	return nil
}

// takeBack leaves a socket to this process's user alone. Where there are no lists acl.Grant has given
// it away, and whoever may write to its folder may have put anything in its place.
func takeBack(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is no socket any more", path)
	}
	if int(st.Uid) != os.Geteuid() {
		if err := unix.Fchownat(fd, "", os.Geteuid(), -1, unix.AT_EMPTY_PATH); err != nil {
			return os.NewSyscallError("fchownat", err)
		}
	}
	// It ends the rights of whoever is in a list, too: it is their mask.
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o600)
}

// onLoopback keeps to this host what is for localhost: a name service may say otherwise of that name.
func onLoopback(_, address string, _ syscall.RawConn) error {
	if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%s resolves to %s, which is no address of the loopback interface: write 127.0.0.1 or ::1", spec.Localhost, address)
	}
	return nil
}

// ownerAlone gives a socket its mode before it is bound, which is when a path
// takes it over (less the umask), so that at no time others can connect.
func ownerAlone(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(ctlErr, os.NewSyscallError("fchmod", err))
}

// abandoned reports whether there is a socket at path and nobody behind it.
func abandoned(path string) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}
