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
	v, err := virt.Libvirt{Socket: h.Config.LibvirtSocket, Host: h.Config.Name}.Versions(ctx)
	return v.Libvirt, err
}

func (h *Host) libvirtAnswers(l *list, version string, err error) {
	if err != nil {
		l.fail("libvirt", "libvirt", "", "%v", err)
		return
	}
	l.ok("libvirt", "libvirt %s answers at %s", version, h.Config.LibvirtSocket)
}
