package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"

	"github.com/virt-sluice/sluice/stream/ktls"
)

// spliceBatch is how much is taken from the kernel's records before it is passed
// on: each call brings one.
const spliceBatch = 256 << 10

// Kernel says which directions are not for kernel TLS.
type Kernel struct{ NotSend, NotReceive bool }

// plan is which directions of a connection the kernel shall do, from Run on. Where
// it is none, socket is nil.
type plan struct {
	send, receive bool
	socket        *ktls.Socket
}

// plan returns what the kernel shall do of a connection over raw. With Auto that is
// nothing unless it can change keys: a direction can't be taken out of the kernel
// again when the peer or the key's limit asks for it.
func (o TLS) plan(raw net.Conn, suite uint16) (plan, error) {
	if o.Path != Auto && o.Path != KTLS {
		return plan{}, nil
	}
	s := ktls.Test(suite)
	if o.Path == Auto {
		ok := s.Rekey == nil
		p := plan{send: ok && s.Send == nil && !o.Kernel.NotSend, receive: ok && s.Receive == nil && !o.Kernel.NotReceive}
		if p.attach(raw, s) != nil {
			return plan{}, nil
		}
		return p, nil
	}
	p := plan{send: !o.Kernel.NotSend, receive: !o.Kernel.NotReceive}
	for _, d := range []struct {
		name string
		want bool
		err  error
	}{{"send", p.send, s.Send}, {"receive", p.receive, s.Receive}} {
		if d.want && d.err != nil {
			return plan{}, fmt.Errorf("the kernel cannot %s %s: %w", d.name, tls.CipherSuiteName(suite), d.err)
		}
	}
	return p, p.attach(raw, s)
}

func (p *plan) attach(raw net.Conn, s ktls.Support) (err error) {
	c, ok := raw.(*net.TCPConn)
	if ok && (p.send || p.receive) {
		p.socket, err = ktls.Attach(c, s.Rekey == nil)
	}
	return err
}

// kernel are the directions of a relay that kernel TLS does.
type kernel struct {
	socket  *ktls.Socket
	local   *socket
	out, in *pipe // where the direction shall be the kernel's
	sender  *ktls.Sender
}

// newKernel hands over what is planned. It returns nil where nothing of it can be,
// with nothing done.
func newKernel(c *recordConn, local *socket) *kernel {
	k := &kernel{socket: c.plan.socket, local: local}
	if k.socket == nil || k.local == nil {
		return nil
	}
	if c.plan.receive {
		k.in, _ = getPipe()
	}
	if c.plan.send {
		k.out, _ = getPipe()
	}
	if k.out != nil {
		if s := k.socket.Sender(); c.HandOverSending(s) == nil {
			k.sender = s
		}
	}
	if k.sender == nil && k.in == nil {
		k.release()
		return nil
	}
	c.Over(k.socket)
	c.inKernel.Store(k.sender != nil)
	return k
}

// release gives the pipes back when both directions have ended.
func (k *kernel) release() {
	for _, p := range []*pipe{k.out, k.in} {
		if p != nil {
			putPipe(p)
		}
	}
}

// The socket is one end of the run.

func (k *kernel) CloseWrite() error { return k.socket.CloseWrite() }
func (k *kernel) reset()            { k.socket.Reset() }
func (k *kernel) close()            { k.socket.Close() }

// spliceOut moves the local stream to the peer until its end.
func (r *recordRelay) spliceOut(f *flow) *Error {
	k := r.kernel
	from := source{Local, nil, k.local}
	_, err := r.run.passOn(f, k.out, from, Remote, r.roomToSend, func(n int) *Error {
		err := r.SendBy(ktls.MaxRecords, func() error {
			return k.sender.Splice(k.out.r, n, func(moved int) {
				k.out.data -= moved
				f.count(moved)
			})
		})
		if err != nil {
			return &Error{Remote, "write", err}
		}
		return nil
	})
	return err
}

// handOver leaves receiving to the kernel, if that is planned and nothing that was
// received waits to be opened. It reports whether it has.
func (r *recordRelay) handOver() bool {
	k := r.kernel
	if k == nil || k.in == nil || !r.Boundary() {
		return false
	}
	in := k.socket.Receiver()
	if r.HandOverReceiving(in) != nil {
		putPipe(k.in)
		k.in = nil
		return false
	}
	r.receiver = in
	r.inKernel.Store(true)
	return true
}

// spliceIn moves the peer's stream to the local socket until its end. What is not
// data, and who knows what comes after it, comes by Receive.
func (r *recordRelay) spliceIn(ctx context.Context, f *flow) *Error {
	k, p := r.kernel, r.kernel.in
	for {
		most, err := k.local.Room(func() {})
		if err != nil {
			return &Error{Local, "write", err}
		}
		if err := r.drainRecords(f.piece(min(most, spliceBatch))); err != nil {
			return &Error{Remote, "read", err}
		}
		n := p.data
		if n == 0 {
			plain, err := r.Receive()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return &Error{Remote, "read", err}
			}
			if err := r.deliver(ctx, f, plain, total(plain)); err != nil {
				return err
			}
			continue
		}
		ok, err := f.admit(ctx, n)
		if err != nil {
			return &Error{Here, "", err}
		}
		if err := fillFrom(p, k.local, ok, f); err != nil {
			return &Error{Local, "write", k.local.opError("splice", err)}
		}
		if ok < n {
			return &Error{Here, "", ErrByteLimit}
		}
	}
}

// drainRecords puts up to n bytes of what there is into the pipe, which is empty.
// It waits for the first; none says that something else came.
func (r *recordRelay) drainRecords(n int) error {
	p := r.kernel.in
	records := 0
	defer func() { r.Moved(records) }()
	for p.data < n {
		got, err := r.receiver.Splice(p.w, n-p.data, p.data == 0)
		if err != nil {
			return err
		}
		if got == 0 {
			break
		}
		p.data += got
		records++
	}
	return nil
}
