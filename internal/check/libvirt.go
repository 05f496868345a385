package check

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// libvirt asks this host's libvirt.
func (h *Host) libvirt(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Config.Limits.HandshakeTimeout, fmt.Errorf("no answer within %v: it hangs", h.Config.Limits.HandshakeTimeout))
	defer cancel()
	v, err := h.here().Versions(ctx)
	return v.Libvirt, err
}

// here is this host's libvirt.
func (h *Host) here() virt.Libvirt {
	return virt.Libvirt{Socket: h.Config.LibvirtSocket, Host: h.Config.Name}
}

func (h *Host) libvirtAnswers(ctx context.Context, l *list, version string, err error) {
	if err != nil {
		l.fail("libvirt", "libvirt", "", "%v", err)
		return
	}
	l.ok("libvirt", "libvirt %s answers at %s", version, h.here().Where(ctx))
}
