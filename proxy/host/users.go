package host

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Callers are the processes of this host that are connected to its local sockets. The sockets are
// open to everyone, and the uid is looked at here, so that who may not use them gets a reason and
// not just EACCES. Each connection holds a descriptor, so every user has a share, and those who may
// not use the sockets have a small one together; root, which could have all descriptors anyway, has
// no limit.
type Callers struct {
	mu        sync.Mutex
	open      map[uint32]int // of users who may
	strangers int
}

// maxStrangers is how many callers are told at once that they may not use a socket. More are closed
// without a word.
const maxStrangers = 16

const callerRefused = "caller of a local socket refused"

// Caller is one connection to a local socket.
type Caller struct {
	*net.UnixConn
	UID    uint32
	PID    int   // 0: of another pid namespace
	Denied error // not nil: the caller may be told so, and nothing else
	Own    bool  // another process of this host's sluice

	released sync.Once
	release  func()
}

// Asker is the caller as history has it.
func (c *Caller) Asker() *control.Asker { return LocalAsker(c.UID, c.PID) }

// LocalAsker is a process of this host as history has it. pid may be 0: not known.
func LocalAsker(uid uint32, pid int) *control.Asker {
	a := &control.Asker{UID: &uid, PID: pid}
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		a.User = u.Username
	}
	return a
}

// Close closes the connection and gives its place to others.
func (c *Caller) Close() error {
	err := c.UnixConn.Close()
	c.released.Do(c.release)
	return err
}

// LocalListener accepts the callers of a local socket.
type LocalListener struct {
	net.Listener              // of a unix socket
	Host         func() *Host // as it is now
	Own          bool         // it is for other processes of this daemon's user, which may not be root
}

// Accept returns a *Caller.
func (l LocalListener) Accept() (net.Conn, error) { return l.AcceptCaller() }

// AcceptCaller returns the next caller for whom there is a place.
func (l LocalListener) AcceptCaller() (*Caller, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := raw.(*net.UnixConn)
		h := l.Host()
		caller, err := h.admit(c, l.Own)
		if caller != nil {
			return caller, nil
		}
		c.Close()
		h.Refused(h.Log, callerRefused, "too many", err)
	}
}

// Denies says why a user may not use the local sockets, or nil.
func (h *Host) Denies(uid uint32) error {
	if slices.Contains(h.UIDs, uid) {
		return nil
	}
	return fmt.Errorf("uid %d may not use sluice on %s: run as root, or add the user to `users` in the daemon's configuration", uid, h.Config.Name)
}

// admit finds a place for a caller; there may be none.
func (h *Host) admit(c *net.UnixConn, own bool) (*Caller, error) {
	cred, err := sockets.PeerCred(c)
	if err != nil {
		return nil, fmt.Errorf("find out who is calling: %w", err)
	}
	caller := &Caller{UnixConn: c, UID: cred.Uid, PID: int(cred.Pid), Own: own && int(cred.Uid) == os.Geteuid()}
	cs := &h.Callers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	uid, most := cred.Uid, h.Config.Limits.UserConnections
	switch {
	case h.Denies(uid) != nil && !caller.Own:
		caller.Denied = h.Denies(uid)
		h.Refused(h.Log, callerRefused, strconv.Itoa(int(uid)), caller.Denied)
		if cs.strangers >= maxStrangers {
			return nil, caller.Denied
		}
		cs.strangers++
		caller.release = func() { cs.mu.Lock(); defer cs.mu.Unlock(); cs.strangers-- }
	case uid != 0 && cs.open[uid] >= most:
		return nil, fmt.Errorf("connection limit of uid %d reached: it has %d to sluice's sockets (limits.user_connections)", uid, most)
	default:
		if cs.open == nil {
			cs.open = make(map[uint32]int)
		}
		cs.open[uid]++
		caller.release = func() { cs.mu.Lock(); defer cs.mu.Unlock(); cs.open[uid]-- }
	}
	return caller, nil
}
