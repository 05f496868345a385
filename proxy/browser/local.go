package browser

import (
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/host"
)

// Local makes a listener for this host's users of one at a unix socket or on loopback. Those may
// look who may use the control socket, as the configuration has it at each request.
func Local(l net.Listener, now func() *host.Host) net.Listener {
	return &local{Listener: l, now: now}
}

type local struct {
	net.Listener
	now func() *host.Host
	places
}

// Accept returns a *Conn.
func (l *local) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := sockets.PeerUID(raw)
		if err != nil { // it has gone
			raw.Close()
			continue
		}
		c := &Conn{Conn: raw, Who: fmt.Sprintf("uid %d", uid), denied: func() error { return l.now().Denies(uint32(uid)) }}
		if err := l.take(c); err != nil {
			tell(l.now(), c.Who, err)
			raw.Close()
			continue
		}
		return c, nil
	}
}
