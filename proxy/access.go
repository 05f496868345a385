package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/virt-sluice/sluice/internal/config"
)

// access is what a caller from another host may do with this host's libvirt.
func (p *peer) access() string { return cmp.Or(p.conf.Access, config.AccessMigrate) }

// dialLibvirt connects to this host's libvirt: to the socket for reading
// alone, where that is all that the caller may. libvirtd sees this daemon's
// uid at either, so nothing else holds the caller back there.
func (d *Daemon) dialLibvirt(ctx context.Context, access string) (*net.UnixConn, error) {
	socket := d.cfg.LibvirtSocket
	if access == config.AccessReadOnly {
		socket += "-ro"
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("libvirt does not listen at %s on %s: start libvirtd (or virtqemud), or set libvirt_socket", socket, d.cfg.Name)
	case err != nil:
		return nil, fmt.Errorf("connect to libvirt at %s: %w", socket, err)
	}
	return c.(*net.UnixConn), nil
}
