package tunnel

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// takeListener makes a listener of a descriptor, which is closed.
func takeListener(a spec.Address, d spec.Descriptor) (net.Listener, error) {
	f := os.NewFile(uintptr(d.FD), a.String())
	defer f.Close()
	l, err := net.FileListener(f) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", a, err)
	}
	return l, nil
}

// takeStream makes a connection of descriptors, which are closed.
func takeStream(a spec.Address, in, out spec.Descriptor) (net.Conn, error) {
	if in.FD == out.FD && !in.Pipe {
		f := os.NewFile(uintptr(in.FD), a.String())
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
		return c, nil
	}
	s := &duplex{at: a}
	if in.Flags != unix.O_WRONLY {
		if err := takeFile(&s.in, in.FD, a); err != nil {
			return nil, err
		}
	}
	if out.Flags != unix.O_RDONLY {
		if err := takeFile(&s.out, out.FD, a); err != nil {
			s.Close()
			return nil, err
		}
	}
	unix.Close(in.FD)
	if out.FD != in.FD {
		unix.Close(out.FD)
	}
	return s, nil
}

// takeFile duplicates fd, so that a broken pipe is an error under any number
// (the runtime ends the process of one at 1), and lets it be waited for.
func takeFile(to **os.File, fd int, a spec.Address) error {
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	*to = os.NewFile(uintptr(fd), a.String())
	return nil
}
