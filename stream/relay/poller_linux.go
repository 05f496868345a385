package relay

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// askEvery bounds how long what has become ready in Go's poller waits for those that hold permits.
const askEvery = time.Millisecond

// poller has Go's scheduler ask its poller. By itself the scheduler does so only on a processor that
// has nothing to run, which is never while permits pass from one direction to the next, and
// otherwise every 10 ms; and what it finds then runs behind those that were given a permit. So a
// direction waits for an event that has happened already: its processor runs all that is ready,
// asks, and runs what it has found, the direction last.
var poller asker

type asker struct {
	last atomic.Int64    // when it was asked, in ns since began
	mu   sync.Mutex      // held while somebody asks
	rc   syscall.RawConn // of the event; nil until it is made
	told bool
	tell func(fd uintptr) bool
}

var began = time.Now()

// ask waits until the poller has been asked, if that is due and nobody does so.
func (a *asker) ask() {
	now := int64(time.Since(began))
	if now-a.last.Load() < int64(askEvery) || !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	a.last.Store(now)
	if a.rc == nil {
		a.make()
	}
	if a.rc != nil {
		a.told = false
		a.rc.Read(a.tell)
	}
}

// make makes the event, which the process keeps. Where there is no descriptor left for one nobody
// asks, and the next to whom that is due tries again.
func (a *asker) make() {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	a.rc, _ = os.NewFile(uintptr(fd), "eventfd").SyscallConn() // which keeps the file
	a.tell = a.happen
}

// happen adds one to the event's number, which the poller tells of each time, and which nobody
// reads: it never comes to its end.
func (a *asker) happen(fd uintptr) bool {
	if a.told {
		return true
	}
	a.told = true
	one := [8]byte{1}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
	return errno != 0 // then there is nothing to wait for
}
