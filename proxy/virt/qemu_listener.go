package virt

import (
	"errors"
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// isGuests says whether a connection is of the guest's QEMU, or of libvirt, which hands its own to
// QEMU.
func isGuests(c net.Conn, uid int, guest func() (*QEMUProcess, error)) error {
	from, err := sockets.PeerUID(c)
	switch {
	case err != nil:
		return err
	case from == 0:
		return nil
	case from != uid:
		return fmt.Errorf("a process of uid %d is neither QEMU nor libvirt", from)
	}
	qemu, err := guest()
	if err != nil {
		return err
	}
	return qemu.HasEnd(c)
}

// ServeQEMU takes QEMU's connections at l, one after the other in the order in which QEMU made
// them: before 8.0 the QEMU at the other end takes the first for the main channel. A connection of
// another process than the guest's QEMU or one of root's is closed and told to refused. It returns
// once l is closed, once join has failed, or with the error of an Accept.
func ServeQEMU(l net.Listener, uid int, guest func() (*QEMUProcess, error), refused func(error), join func(net.Conn) error) error {
	// Others can connect as often as they like, so libvirt is asked for its pid once.
	var qemu *QEMUProcess
	known := func() (_ *QEMUProcess, err error) {
		if qemu == nil {
			qemu, err = guest()
		}
		return qemu, err
	}
	defer func() {
		if qemu != nil {
			qemu.Close()
		}
	}()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		err = isGuests(c, uid, known)
		if err != nil {
			refused(err)
			c.Close()
			continue
		}
		if join(c) != nil {
			return nil
		}
	}
}
