package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/stream"
)

// qemuDeathTimeout is how long libvirt may take to notice that QEMU has died.
const qemuDeathTimeout = 5 * time.Second

// qemuEnded is what to add to a failure behind which QEMU's end may be.
func (d *Daemon) qemuEnded(guest string) string {
	return fmt.Sprintf("; QEMU has ended on %s: /var/log/libvirt/qemu/%s.log there may tell why", d.cfg.Name, guest)
}

// qemuGone follows QEMU's closing of a migration socket with bytes under way,
// which it also does after some migrations that went well. It fails the session
// only if QEMU has died; libvirt knows that within moments.
func (d *Daemon) qemuGone(s *stream.Session, uuid libvirt.UUID, cause *stream.Cause) {
	ctx, cancel := context.WithTimeout(s.Context(), qemuDeathTimeout)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if state, err := d.guestState(ctx, uuid); err == nil && state.absent {
			cause.Text += d.qemuEnded(s.Guest)
			s.Fail(cause)
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
