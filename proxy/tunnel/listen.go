package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen makes the tunnel's socket. One at a path may be used by its owner
// alone; one that an earlier process has left there is replaced.
func listen(a Address) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	if a.Kind == Unix {
		lc.Control = ownerAlone
	}
	l, err := lc.Listen(context.Background(), a.network(), a.At)
	if errors.Is(err, unix.EADDRINUSE) && a.Kind == Unix && abandoned(a.At) {
		if err := os.Remove(a.At); err != nil {
			return nil, fmt.Errorf("remove the socket that an earlier process has left: %w", err)
		}
		l, err = lc.Listen(context.Background(), a.network(), a.At)
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use already", a)
	}
	return nil, fmt.Errorf("listen at %s: %w", a, err)
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
