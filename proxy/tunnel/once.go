package tunnel

import (
	"net"
	"sync"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// once is a listener with one connection, which is there from the beginning.
type once struct {
	at   spec.Address
	make func() (net.Conn, error)

	mu    sync.Mutex
	taken bool
}

// Accept returns the connection, or why it could not be made; then net.ErrClosed.
func (o *once) Accept() (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken {
		return nil, net.ErrClosed
	}
	o.taken = true
	return o.make()
}

// Close closes a connection that nobody has taken.
func (o *once) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.taken && o.at.Kind == spec.FD {
		if c, err := o.make(); err == nil {
			c.Close()
		}
	}
	o.taken = true
	return nil
}

func (o *once) Addr() net.Addr { return o.at }
