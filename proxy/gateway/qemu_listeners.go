package gateway

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/stream"
)

// qemuListeners are where the source's QEMU brings a session's data.
//
// Where the call that starts the data passes here, it is told a socket of the session's folder for
// each kind. Where the source's libvirt is told by a reply alone: libvirt sends disks to the host
// of the migration's URI, at the port that the destination's cookie says, unless the user gives
// another URI; it has no such words for unix sockets. So a migration with disks goes by ports of
// the loopback interface.
type qemuListeners struct {
	gateway     *Gateway
	session     *stream.Session
	guest       libvirt.UUID
	log         zerolog.Logger
	accepts     sync.WaitGroup
	first       sync.Once
	connected   chan struct{} // closed once QEMU has connected for the first time
	connectedAt time.Time     // set before

	uri      string // of memory
	disksURI string // of disks, where libvirt can be told
	diskPort int    // of disks, where it can't; 0 without disks
}

// bySockets says whether QEMU is told sockets, not ports of the loopback interface.
func bySockets(disks, told bool) bool { return !disks || told }

// listen opens them; they close with the session. told says that libvirt can be
// told where disks go.
func (o *qemuListeners) listen(dir rundir.SessionDir, disks, told bool) (err error) {
	defer func() {
		if uri := o.uri; err == nil {
			o.gateway.uris.set(uri, true)
			context.AfterFunc(o.session.Context(), func() { o.gateway.uris.set(uri, false) })
		}
	}()
	if bySockets(disks, told) {
		if o.uri, err = o.socket(dir, stream.ChannelMemory); err == nil && disks {
			o.disksURI, err = o.socket(dir, stream.ChannelDisk)
		}
		return err
	}
	memory, err := o.loopback(stream.ChannelMemory)
	if err != nil {
		return err
	}
	o.uri = fmt.Sprintf("tcp:127.0.0.1:%d", memory)
	o.diskPort, err = o.loopback(stream.ChannelDisk)
	return err
}

// openURIs are the URIs of all listeners for memory that are open here.
type openURIs struct {
	mu sync.Mutex
	m  map[string]bool
}

func (od *openURIs) set(uri string, open bool) {
	od.mu.Lock()
	defer od.mu.Unlock()
	if od.m == nil {
		od.m = make(map[string]bool)
	}
	if delete(od.m, uri); open {
		od.m[uri] = true
	}
}

// isOurs says whether a Perform's data goes to a listener of this daemon's: the client has been
// told of it by the reply to Prepare, which went through here as well.
func (gw *Gateway) isOurs(params libvirtrpc.Params) bool {
	uri, is, err := params.Text(libvirtrpc.ParamURI)
	if err != nil || !is {
		return false
	}
	gw.uris.mu.Lock()
	defer gw.uris.mu.Unlock()
	return gw.uris.m[uri]
}

func (o *qemuListeners) socket(dir rundir.SessionDir, kind string) (uri string, err error) {
	l, err := dir.Listen(kind, o.gateway.QEMUUID)
	if err != nil {
		return "", err
	}
	o.serve(kind, l)
	return "unix://" + dir.SocketPath(kind), nil
}

func (o *qemuListeners) loopback(kind string) (port int, err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("open a port for QEMU on the loopback interface: %w", err)
	}
	o.serve(kind, l)
	return l.Addr().(*net.TCPAddr).Port, nil
}

// hasConnected says whether QEMU has connected.
func (o *qemuListeners) hasConnected() bool {
	select {
	case <-o.connected:
		return true
	default:
		return false
	}
}

// serve joins QEMU's connections to channels. One that can't be fails the session.
func (o *qemuListeners) serve(kind string, l net.Listener) {
	context.AfterFunc(o.session.Context(), func() { l.Close() })
	o.accepts.Go(func() {
		err := o.gateway.ServeQEMU(o.session.Context(), o.guest, kind, l, o.log, func(c net.Conn) error {
			o.first.Do(func() {
				o.connectedAt = time.Now()
				close(o.connected)
			})
			_, err := o.session.OpenChannel(o.session.Context(), kind, c)
			return err
		})
		if err != nil {
			o.session.Fail(err)
		}
	})
}
