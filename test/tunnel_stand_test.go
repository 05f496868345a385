package test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
)

// tunnelStand is a stand with QEMUs that have no libvirt, and a look at what passes.
type tunnelStand struct {
	*stand.Stand
	t *testing.T
}

func newStand(t *testing.T) *tunnelStand {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return &tunnelStand{stand.New(t, p.command), t}
}

// tap passes connections on, and looks at what the clients send.
type tap struct {
	at string // where it listens

	mu     sync.Mutex
	bytes  int
	marked bool // the marker has passed
}

// tap makes one in front of an address, whose program may come up later.
func (s *tunnelStand) tap(network, listen, to string) *tap {
	s.t.Helper()
	l, err := net.Listen(network, listen)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &tap{at: l.Addr().String()}
	stand.Serve(s.t, l, func(c net.Conn) {
		out, err := net.Dial(network, to)
		if err != nil {
			return
		}
		defer out.Close()
		back := make(chan struct{})
		go func() {
			defer close(back)
			io.Copy(c, out)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		if p.pass(out, c) != nil {
			if t, ok := c.(*net.TCPConn); ok {
				t.SetLinger(0)
			}
			return
		}
		out.(interface{ CloseWrite() error }).CloseWrite()
		<-back
	})
	return p
}

// pass copies and looks, until in's end or a failure.
func (p *tap) pass(out, in net.Conn) error {
	buf := make([]byte, len(marker)+256<<10)
	kept := 0 // of the bytes before, which a marker may begin in
	for {
		n, err := in.Read(buf[kept:])
		piece := buf[:kept+n]
		p.mu.Lock()
		p.bytes += n
		p.marked = p.marked || bytes.Contains(piece, []byte(marker))
		p.mu.Unlock()
		if _, werr := out.Write(piece[kept:]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(buf, piece[max(0, len(piece)-len(marker)):])
	}
}

// saw wants that the marker has passed, or not.
func (p *tap) saw(t *testing.T, what string, marked bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marked != marked {
		t.Errorf("%s: among %d bytes memory in clear: %v, want %v", what, p.bytes, p.marked, marked)
	}
}

// nothing wants that not a byte has passed.
func (p *tap) nothing(t *testing.T, what string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes != 0 {
		t.Errorf("%s has got %d bytes", what, p.bytes)
	}
}
