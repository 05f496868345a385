package virt

import (
	"context"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/stream"
)

// qemuDeathTimeout is how long libvirt may take to notice that QEMU has died.
const qemuDeathTimeout = 5 * time.Second

// QEMUEnded is what to add to a failure behind which QEMU's end may be.
func (l Libvirt) QEMUEnded(guest string) string {
	return fmt.Sprintf("; QEMU has ended on %s: /var/log/libvirt/qemu/%s.log there may say why", l.Host, guest)
}

// FailIfQEMUEnded follows QEMU's closing of a migration socket with bytes under way, which it also
// does after some migrations that went well. It fails the session, with cause, only if QEMU has
// died; libvirt knows that within moments.
func (l Libvirt) FailIfQEMUEnded(s *stream.Session, uuid libvirt.UUID, cause *stream.Cause) {
	ctx, cancel := context.WithTimeout(s.Context(), qemuDeathTimeout)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if state, err := l.State(ctx, uuid); err == nil && state.Absent {
			cause.Text += l.QEMUEnded(s.Guest)
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
