package host

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// CheckLeaving refuses a guest of this host's whose QEMU would end as soon as its memory has gone
// (virt.InactiveImages), and the guest with it.
func (h *Host) CheckLeaving(ctx context.Context, guest libvirt.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, h.Config.Limits.HandshakeTimeout)
	defer cancel()
	v, err := h.Libvirt.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	state, err := v.State(ctx, guest)
	if err != nil || !state.Paused() {
		return err
	}
	has, err := v.Versions(ctx)
	if err != nil || !has.Has(virt.InactiveImages) {
		return err
	}
	var dom libvirt.Domain
	var description string
	if err := v.Bound(ctx, func() (err error) {
		if dom, err = v.DomainLookupByUUID(guest); err == nil {
			description, err = v.DomainGetXMLDesc(dom, 0)
		}
		return err
	}); err != nil {
		return err
	}
	if images, err := domainxml.HasImages(description); err != nil || !images {
		return err
	}
	qemu, err := virt.FindQEMU(h.Config.QEMUPIDs, dom.Name, guest, h.QEMUUID)
	if err != nil {
		return err
	}
	defer qemu.Close()
	waits, err := qemu.WaitsSinceArrival()
	if err == nil && waits {
		err = fmt.Errorf("QEMU on %s is %s, with which %s: %s", h.Config.Name, has.QEMU, virt.InactiveImages.Text, virt.InactiveImages.Do)
	}
	return err
}
