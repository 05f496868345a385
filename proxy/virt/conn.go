package virt

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// Conn is one connection to this host's libvirt. A call that may block for long has a connection of
// its own. go-libvirt knows no contexts: what ends a call is the end of its connection (see bound).
type Conn struct {
	*libvirt.Libvirt
	conn *watchedConn
}

// watchedConn tells when libvirt has gone away.
type watchedConn struct {
	net.Conn
	ours atomic.Bool // we have closed it
	once sync.Once
	gone chan struct{} // closed when libvirt has ended it, or has lost its driver
	odd  atomic.Value  // an error: what came was not libvirt's

	events driverEvents // Read's
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, errPacket) {
		c.odd.Store(err)
	}
	if c.events.closed(p[:n]) || err != nil && !c.ours.Load() {
		c.once.Do(func() { close(c.gone) })
	}
	return n, err
}

func (c *watchedConn) Close() error {
	c.ours.Store(true)
	return c.Conn.Close()
}

// newConn speaks libvirt's protocol over c, which it closes, and opens uri within ctx.
func newConn(ctx context.Context, c net.Conn, uri libvirt.ConnectURI) (*Conn, error) {
	watched := &watchedConn{Conn: c, gone: make(chan struct{})}
	v := &Conn{Libvirt: libvirt.NewWithDialer(dialers.NewAlreadyConnected(watched)), conn: watched}
	if err := v.Bound(ctx, func() error { return v.ConnectToURI(uri) }); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// RemoteAddr is where libvirt is.
func (v *Conn) RemoteAddr() net.Addr { return v.conn.RemoteAddr() }

// Close ends the connection, and with it what libvirt keeps for it: a guest
// that was prepared and not finished is destroyed.
func (v *Conn) Close() { v.conn.Close() }

// Gone is closed when libvirt has ended the connection (see WatchDriver).
func (v *Conn) Gone() <-chan struct{} { return v.conn.gone }

// Bound makes one call that ends with ctx at the latest, at the cost of the connection.
func (v *Conn) Bound(ctx context.Context, call func() error) error {
	stop := context.AfterFunc(ctx, v.Close)
	err := call()
	if !stop() && err != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, libvirt.ErrInterrupted) || errors.Is(err, syscall.EINVAL) || errors.Is(err, net.ErrClosed) {
		if odd, is := v.conn.odd.Load().(error); is {
			return odd
		}
		return ErrGone
	}
	return err
}

var ErrGone = errors.New("libvirt closed its connection: it was stopped, or has crashed")

// Find finds a guest by name, UUID or id, as virsh does.
func (v *Conn) Find(name string) (libvirt.Domain, error) {
	if id, err := strconv.ParseInt(name, 10, 32); err == nil {
		if dom, err := v.DomainLookupByID(int32(id)); err == nil {
			return dom, nil
		}
	}
	if uuid, err := ParseUUID(name); err == nil {
		if dom, err := v.DomainLookupByUUID(uuid); err == nil {
			return dom, nil
		}
	}
	return v.DomainLookupByName(name)
}
