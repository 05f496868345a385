package check

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
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

func (h *Host) libvirtAnswers(ctx context.Context, l *control.Findings, version string, err error) {
	if err != nil {
		l.Fail("libvirt", "libvirt", "", "%v", err)
		return
	}
	if v, err := h.here().Versions(ctx); err == nil {
		faults(l, h.Config.Name, v)
	}
	l.OK("libvirt", "libvirt %s answers at %s", version, h.here().Where(ctx))
}

// faults warns of those that a host's releases are known to have.
func faults(l *control.Findings, host string, v virt.Versions) {
	for _, f := range v.Faults() {
		is := v.Libvirt
		if f.Program == "QEMU" {
			is = v.QEMU
		}
		l.Warn("versions", "known-fault", f.Do, "%s on %s is %s: %s", f.Program, host, is, f.Text)
	}
}
