package host

import (
	"context"
	"fmt"
	"net"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// QEMU is the process of a guest on this host, by libvirt's word: the pid that it keeps under the
// guest's name. The caller closes it.
func (h *Host) QEMU(ctx context.Context, guest libvirt.UUID) (*virt.QEMUProcess, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Config.Limits.HandshakeTimeout)
	defer cancel()
	v, err := h.Libvirt.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	var dom libvirt.Domain
	if err := v.Bound(ctx, func() (err error) { dom, err = v.DomainLookupByUUID(guest); return err }); err != nil {
		return nil, fmt.Errorf("look for the guest's QEMU: %w", err)
	}
	qemu, err := virt.FindQEMU(h.Config.QEMUPIDs, dom.Name, guest, h.QEMUUID)
	if err != nil {
		return nil, err
	}
	qemu.Observer = h.Observer
	return qemu, nil
}

// ServeQEMU hands the connections of the guest's QEMU at l to join, as virt's does. Its error is a
// session's cause.
func (h *Host) ServeQEMU(ctx context.Context, guest libvirt.UUID, kind string, l net.Listener, log zerolog.Logger, join func(net.Conn) error) *stream.Cause {
	refused := func(err error) {
		h.Refused(log.With().Str("channel", kind).Logger(), "connection to QEMU's socket refused", kind, err)
	}
	process := func() (*virt.QEMUProcess, error) { return h.QEMU(ctx, guest) }
	if err := virt.ServeQEMU(l, h.QEMUUID, process, refused, join); err != nil {
		return &stream.Cause{Code: stream.CodeLocal, Text: fmt.Sprintf("accept QEMU's connection for %s: %v", kind, err)}
	}
	return nil
}

// ConnectQEMU connects to the socket that the guest's QEMU has made in a session's folder. The
// folder is open to all of QEMU's user, so another guest's could have put its own there: not a byte
// goes before it is known who listens.
func (h *Host) ConnectQEMU(ctx context.Context, dir rundir.SessionDir, kind string, guest libvirt.UUID) (*net.UnixConn, error) {
	c, err := dir.Connect(kind, h.QEMUUID)
	if err != nil {
		return nil, err
	}
	if uid, err := sockets.PeerUID(c); err == nil && uid == 0 {
		return c, nil
	}
	qemu, err := h.QEMU(ctx, guest)
	if err == nil {
		err = qemu.HasEnd(c)
		qemu.Close()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s is not used: %w", dir.SocketPath(kind), err)
	}
	return c, nil
}
