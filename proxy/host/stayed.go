package host

import (
	"context"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Stayed are guests that were paused when a migration of theirs from here began, and that have not
// left. QEMU refuses to migrate such a guest once more before it has run again, if the migration had
// come to its last moment (RUN_STATE_POSTMIGRATE in migrate_prepare, migration/migration.c). Nobody
// tells in which of its states QEMU is.
type Stayed struct {
	mu     sync.Mutex
	guests map[libvirt.UUID]stayed
}

type stayed struct {
	pid     int
	started uint64
	ran     time.Duration // its vCPUs
}

// paused finds the QEMU of a guest that is paused, and what its vCPUs have run for.
func (h *Host) paused(ctx context.Context, guest libvirt.Domain) (qemu *virt.QEMUProcess, ran time.Duration) {
	state, err := h.Libvirt.State(ctx, guest.UUID)
	if err != nil || !state.Paused() {
		return nil, 0
	}
	qemu, err = virt.FindQEMU(h.Config.QEMUPIDs, guest.Name, guest.UUID, h.QEMUUID)
	if err != nil {
		return nil, 0
	}
	if ran, err = qemu.Ran(); err != nil {
		qemu.Close()
		return nil, 0
	}
	return qemu, ran
}

// noteStayed remembers a guest that is paused when its migration begins. It is forgotten when it has
// left.
func (h *Host) noteStayed(ctx context.Context, guest libvirt.Domain) {
	qemu, ran := h.paused(ctx, guest)
	if qemu == nil {
		return
	}
	defer qemu.Close()
	s := &h.Stayed
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid, g := range s.guests { // which have left, or ended
		if p, err := virt.ReopenQEMU(g.pid, g.started, uuid, h.QEMUUID); err == nil {
			p.Close()
		} else {
			delete(s.guests, uuid)
		}
	}
	if s.guests == nil {
		s.guests = make(map[libvirt.UUID]stayed)
	}
	s.guests[guest.UUID] = stayed{qemu.PID, qemu.Started, ran}
}

// HasStayed says whether a guest is paused, and was when an earlier migration from here began, and has
// not run since.
func (h *Host) HasStayed(ctx context.Context, guest libvirt.Domain) bool {
	h.Stayed.mu.Lock()
	was, has := h.Stayed.guests[guest.UUID]
	h.Stayed.mu.Unlock()
	if !has {
		return false
	}
	qemu, _ := h.paused(ctx, guest)
	if qemu == nil {
		return false
	}
	defer qemu.Close()
	run, err := qemu.HasRun(was.ran)
	return err == nil && !run && qemu.PID == was.pid && qemu.Started == was.started
}
