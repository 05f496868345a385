package gateway

import (
	"sync"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// begunMigrations are the guests whose migration has begun over a connection to the libvirt that
// has them, and not ended: between the calls it is nobody's but the client's.
type begunMigrations struct {
	mu sync.Mutex
	m  map[libvirt.UUID]bool
}

// begun looks at the reply to a Begin.
func (l *begunMigrations) begun(guest libvirt.UUID) func(*libvirtrpc.Reply) {
	return func(r *libvirtrpc.Reply) {
		if r.Err != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.m == nil {
			l.m = make(map[libvirt.UUID]bool)
		}
		l.m[guest] = true
	}
}

// confirmed: libvirt has answered the Confirm.
func (l *begunMigrations) confirmed(guest libvirt.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.m, guest)
}

func (l *begunMigrations) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.m) > 0
}
