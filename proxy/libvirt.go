package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// virt is one connection to this host's libvirt. A call that may block for
// long has a connection of its own. go-libvirt knows no contexts: what ends a
// call is the end of its connection (see bound).
type virt struct {
	*libvirt.Libvirt
	conn *watchedConn
}

// watchedConn tells when libvirt has gone away.
type watchedConn struct {
	net.Conn
	ours atomic.Bool // we have closed it
	once sync.Once
	gone chan struct{} // closed when libvirt has ended it
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.ours.Load() {
		c.once.Do(func() { close(c.gone) })
	}
	return n, err
}

func (c *watchedConn) Close() error {
	c.ours.Store(true)
	return c.Conn.Close()
}

// connectLibvirt opens qemu:///system at the given socket, within ctx.
func connectLibvirt(ctx context.Context, socket string) (*virt, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("libvirt does not listen at %s: start libvirtd (or virtqemud), or set libvirt_socket", socket)
	case err != nil:
		return nil, fmt.Errorf("connect to libvirt at %s: %w", socket, err)
	}
	conn := &watchedConn{Conn: raw, gone: make(chan struct{})}
	v := &virt{Libvirt: libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn)), conn: conn}
	if err := v.bound(ctx, func() error { return v.ConnectToURI(libvirt.QEMUSystem) }); err != nil {
		v.close()
		return nil, fmt.Errorf("open qemu:///system at %s: %w", socket, err)
	}
	return v, nil
}

// close ends the connection, and with it what libvirt keeps for it: a guest
// that was prepared and not finished is destroyed.
func (v *virt) close() { v.conn.Close() }

// gone is closed when libvirt has ended the connection.
func (v *virt) gone() <-chan struct{} { return v.conn.gone }

// bound makes one call that ends with ctx at the latest, at the cost of the
// connection.
func (v *virt) bound(ctx context.Context, call func() error) error {
	stop := context.AfterFunc(ctx, v.close)
	err := call()
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, libvirt.ErrInterrupted) || errors.Is(err, syscall.EINVAL) || errors.Is(err, net.ErrClosed) {
		return errLibvirtGone
	}
	return err
}

var errLibvirtGone = errors.New("libvirt closed its connection: it was stopped, or has crashed")

// guest finds a guest by name, UUID or id, as virsh does.
func (v *virt) guest(name string) (libvirt.Domain, error) {
	if id, err := strconv.ParseInt(name, 10, 32); err == nil {
		if dom, err := v.DomainLookupByID(int32(id)); err == nil {
			return dom, nil
		}
	}
	if uuid, err := parseUUID(name); err == nil {
		if dom, err := v.DomainLookupByUUID(uuid); err == nil {
			return dom, nil
		}
	}
	return v.DomainLookupByName(name)
}

func parseUUID(s string) (libvirt.UUID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(libvirt.UUID{}) {
		return libvirt.UUID{}, fmt.Errorf("%.64q is no UUID", s)
	}
	return libvirt.UUID(b), nil
}

func formatUUID(u libvirt.UUID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// guestState is a guest's state and libvirt's reason for it. A guest that
// libvirt does not know, or that is shut off, is absent.
type guestState struct {
	absent        bool
	state, reason int32
}

// state asks libvirt for the state of the guest with this UUID, within ctx.
func (v *virt) state(ctx context.Context, uuid libvirt.UUID) (st guestState, err error) {
	err = v.bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err == nil {
			st.state, st.reason, err = v.DomainGetState(dom, 0)
		}
		return err
	})
	if libvirt.IsNotFound(err) {
		return guestState{absent: true}, nil
	}
	st.absent = libvirt.DomainState(st.state) == libvirt.DomainShutoff
	return st, err
}

// running says whether the guest has its CPUs at this host and owes no memory
// to another.
func (g guestState) running() bool { return g.String() == "running" }

// paused says whether it was paused by anything but a migration.
func (g guestState) paused() bool { return g.String() == "paused" }

// pausedForMigration says whether libvirt keeps it paused because another host
// may run it.
func (g guestState) pausedForMigration() bool { return g.String() == "paused for migration" }

// inPostcopy says whether a part of the guest is on another host.
func (g guestState) inPostcopy() bool { return strings.HasSuffix(g.String(), "in post-copy") }

// inFailedPostcopy says whether libvirt holds it for a post-copy to be resumed.
func (g guestState) inFailedPostcopy() bool {
	return !g.absent && (libvirt.DomainState(g.state) == libvirt.DomainPaused && g.reason == int32(libvirt.DomainPausedPostcopyFailed) ||
		libvirt.DomainState(g.state) == libvirt.DomainRunning && g.reason == int32(libvirt.DomainRunningPostcopyFailed))
}

// String is the state as virsh domstate words it.
func (g guestState) String() string {
	if g.absent {
		return "absent"
	}
	switch libvirt.DomainState(g.state) {
	case libvirt.DomainRunning, libvirt.DomainBlocked:
		switch libvirt.DomainRunningReason(g.reason) {
		case libvirt.DomainRunningPostcopy, libvirt.DomainRunningPostcopyFailed:
			return "running in post-copy"
		}
		return "running"
	case libvirt.DomainPaused:
		switch libvirt.DomainPausedReason(g.reason) {
		case libvirt.DomainPausedPostcopy, libvirt.DomainPausedPostcopyFailed:
			return "paused in post-copy"
		case libvirt.DomainPausedMigration:
			return "paused for migration"
		}
		return "paused"
	case libvirt.DomainShutdown:
		return "shutting down"
	case libvirt.DomainCrashed:
		return "crashed"
	}
	return "in state " + strconv.Itoa(int(g.state))
}

// guestState asks this host's libvirt, over a connection of its own.
func (d *Daemon) guestState(ctx context.Context, uuid libvirt.UUID) (guestState, error) {
	v, err := connectLibvirt(ctx, d.cfg.LibvirtSocket)
	if err != nil {
		return guestState{}, err
	}
	defer v.close()
	return v.state(ctx, uuid)
}

// split says whether a part of a guest is on another host, as far as libvirt
// here can tell.
func (d *Daemon) split(uuid libvirt.UUID) bool {
	ctx, cancel := context.WithTimeout(context.Background(), spareTimeout)
	defer cancel()
	state, err := d.guestState(ctx, uuid)
	return err == nil && state.inPostcopy()
}
