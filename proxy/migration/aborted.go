package migration

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// streamEndPatience is how long the relay may take to come to the end of what QEMU has written.
const streamEndPatience = time.Second

// aborted says whether Perform failed because a client of libvirt's had the job aborted. libvirt
// does not always say so: QEMU shuts down its stream before it notes that it is cancelled
// (migrate_fd_cancel in QEMU's migration/migration.c). If its writer is caught by that in between,
// the migration has failed, and the reason is a broken pipe. But it was QEMU itself that ended its
// stream then, and nothing of the session had failed before.
func (m *outgoing) aborted(err error) bool {
	if virt.Aborted(err) {
		return true
	}
	if !virt.BrokenPipe(err) {
		return false
	}
	patience := time.NewTimer(streamEndPatience)
	defer patience.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		for _, c := range m.session.channelStatus() {
			if end, ok := c.ChannelStats.(interface{ LocalEnded() bool }); ok && end.LocalEnded() {
				return true
			}
		}
		select {
		case <-again.C:
		case <-m.session.Settled():
			return false
		case <-patience.C:
			return false
		}
	}
}
