package virt

import (
	"errors"
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// ServeQEMU takes QEMU's connections at l, one after the other in the order in which QEMU made
// them: before 8.0 the QEMU at the other end takes the first for the main channel. A connection of
// another user than uid, QEMU's, or root is closed and told to refused. It returns once l is closed,
// once join has failed, or with the error of an Accept.
func ServeQEMU(l net.Listener, uid int, refused func(error), join func(net.Conn) error) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		from, err := sockets.PeerUID(c)
		if err == nil && from != 0 && from != uid {
			err = fmt.Errorf("a process of uid %d is neither QEMU nor libvirt", from)
		}
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
