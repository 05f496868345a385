package host

import (
	"net/netip"
	"testing"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/hosttest"
)

func TestPortIsFor(t *testing.T) {
	h := &Host{State: new(State)}
	at := netip.MustParseAddrPort("127.0.0.1:49152")
	if err := h.PortIsFor(t.Context(), at, "host-c"); err != nil {
		t.Error(err)
	}
	h.Ports.Await(49152, libvirt.UUID{1}, "host-a")
	hosttest.Says(t, h.PortIsFor(t.Context(), at, "host-c"), "another peer brings")
	h.Ports.Await(49152, libvirt.UUID{2}, "host-c") // the other guest's QEMU has ended
	h.Ports.Forget(libvirt.UUID{1})
	hosttest.Says(t, h.PortIsFor(t.Context(), at, "host-a"), "another peer brings")
	h.Ports.Forget(libvirt.UUID{2})
	if err := h.PortIsFor(t.Context(), at, "host-a"); err != nil {
		t.Error(err)
	}
}
