package virt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// Libvirt is this host's libvirtd.
type Libvirt struct {
	// Socket is for reading and writing; that for reading alone has -ro behind it. Empty: the first of
	// usualSockets at which somebody listens, at each connection anew, since daemons come and go, and
	// leave sockets behind.
	Socket string
	Host   string // this host's name, for messages
}

// usualSockets are libvirtd's, which is virtproxyd's beside modular daemons, and virtqemud's.
var usualSockets = []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"}

// sockets are those to be tried, in their order.
func (l Libvirt) sockets() []string {
	if l.Socket != "" {
		return []string{l.Socket}
	}
	return usualSockets
}

// Connect opens qemu:///system within ctx.
func (l Libvirt) Connect(ctx context.Context) (*Conn, error) {
	raw, socket, err := l.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	v, err := newConn(ctx, raw, libvirt.QEMUSystem)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("libvirt at %s on %s does not answer: it hangs, or has too much to do: %w", socket, l.Host, err)
	case err != nil:
		return nil, fmt.Errorf("open qemu:///system at %s: %w", socket, err)
	}
	return v, nil
}

// Dial connects to libvirtd without a word: to its socket for reading alone, or to that for all.
// libvirtd sees this daemon's uid at either, so nothing else holds a caller back there.
func (l Libvirt) Dial(ctx context.Context, readOnly bool) (*net.UnixConn, error) {
	c, _, err := l.dial(ctx, readOnly)
	return c, err
}

// dial is Dial, and tells which socket it was.
func (l Libvirt) dial(ctx context.Context, readOnly bool) (c *net.UnixConn, socket string, err error) {
	var dialer net.Dialer
	var tried []string
	for _, socket := range l.sockets() {
		if readOnly {
			socket += "-ro"
		}
		c, err := dialer.DialContext(ctx, "unix", socket)
		switch {
		case err == nil:
			return c.(*net.UnixConn), socket, nil
		case !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED):
			return nil, "", fmt.Errorf("connect to libvirt at %s: %w", socket, err)
		}
		tried = append(tried, socket)
	}
	return nil, "", fmt.Errorf("libvirt does not listen at %s on %s: start libvirtd (or virtqemud), or set libvirt_socket", strings.Join(tried, " or "), l.Host)
}

// Where is the socket at which libvirt listens now, or those at which it could.
func (l Libvirt) Where(ctx context.Context) string {
	c, socket, err := l.dial(ctx, false)
	if err != nil {
		return strings.Join(l.sockets(), " or ")
	}
	c.Close()
	return socket
}

// State asks for a guest's state, over a connection of its own.
func (l Libvirt) State(ctx context.Context, uuid libvirt.UUID) (State, error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return State{}, err
	}
	defer v.Close()
	return v.State(ctx, uuid)
}

// ID is libvirt's id of a guest that is active, 0 for one that is not. No two guests of one boot of
// the host have the same.
func (l Libvirt) ID(ctx context.Context, uuid libvirt.UUID) (id int32, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		id = max(dom.ID, 0)
		return err
	})
	if libvirt.IsNotFound(err) {
		return 0, nil
	}
	return id, err
}

// Worker returns once one of the workers that libvirt has for most calls has answered one, which
// waits for no guest.
func (l Libvirt) Worker(ctx context.Context) error {
	v, err := l.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Bound(ctx, func() error {
		_, _, _, err := v.NodeGetCPUMap(0, 0, 0) // has no priority in remote_protocol.x
		return err
	})
}

// AbortJob has libvirt end a guest's job, as `virsh domjobabort` does.
func (l Libvirt) AbortJob(ctx context.Context, uuid libvirt.UUID) error {
	v, err := l.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err != nil {
			return err
		}
		return v.DomainAbortJob(dom)
	})
}

// LeavingSince says whether libvirt has a migration of the guest away from this host under way that
// had begun by the given moment. A guest has one job at a time. libvirt counts by the host's clock,
// so if that is set back meanwhile, the answer may be no.
func (l Libvirt) LeavingSince(ctx context.Context, uuid libvirt.UUID, moment time.Time) (leaving bool, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err != nil {
			return err
		}
		for {
			asked := time.Now()
			st, under, err := v.JobStats(dom, 0)
			switch {
			case err != nil || !under || !st.Leaving:
				return err
			case st.Elapsed >= time.Since(moment):
				leaving = true
				return nil
			case st.Elapsed < asked.Sub(moment):
				return nil
			}
			// libvirt has counted at some moment of the call, which lasted too long to tell.
		}
	})
	return leaving, err
}

// AbortMigration has libvirt end the migration of a guest, found as virsh does, away from this
// host, and returns its name. A guest in post-copy has left already.
func (l Libvirt) AbortMigration(ctx context.Context, guest string) (name string, err error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		dom, err := v.Find(guest)
		if err != nil {
			return err
		}
		name = dom.Name
		st, _, err := v.JobStats(dom, 0)
		if err != nil {
			return err
		}
		if !st.Leaving {
			return errors.New("it is not being migrated")
		}
		if state, err := v.State(ctx, dom.UUID); err != nil || state.InPostcopy() {
			return errors.Join(err, errors.New("it is in post-copy"))
		}
		return v.DomainAbortJob(dom)
	})
	return name, err
}

// InPostcopy says whether a part of a guest is on another host, as far as libvirt here can tell.
func (l Libvirt) InPostcopy(uuid libvirt.UUID) bool {
	ctx, cancel := context.WithTimeout(context.Background(), LazyTimeout)
	defer cancel()
	state, err := l.State(ctx, uuid)
	return err == nil && state.InPostcopy()
}

// AwaitResumed waits until libvirt here knows that a broken post-copy goes on, or until ctx ends.
// The source's QEMU knows first, and a Finish that comes before QEMU's event finds the post-copy
// still failed, and fails it again.
func (l Libvirt) AwaitResumed(ctx context.Context, uuid libvirt.UUID) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		state, err := l.State(ctx, uuid)
		if err != nil || !state.inFailedPostcopy() {
			return // libvirt's Finish has the words for what else there is
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
