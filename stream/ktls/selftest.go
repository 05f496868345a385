package ktls

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

const (
	// testBytes go each way in a self-test.
	testBytes = 512 << 10
	// testTime bounds a self-test, whatever the kernel does.
	testTime = 10 * time.Second
	// testPipe is a pipe's default size: no splice is larger.
	testPipe = 64 << 10
)

// errCorrupt: what came out is not what went in.
var errCorrupt = errors.New("bytes came out changed")

// selfTest has the kernel send to the record engine, and receive from it, on a
// loopback connection each: pieces of random sizes, a send buffer that is always
// full, a change of the key, and close_notify.
func selfTest(suite uint16) Support {
	s := Support{Suite: suite}
	var rekeySend, rekeyReceive error
	s.Send, rekeySend = trial(suite, func(p *proof) error { return p.kernelSends() })
	if errors.Is(s.Send, ErrNone) {
		return Support{suite, ErrNone, ErrNone, ErrNone}
	}
	s.Receive, rekeyReceive = trial(suite, func(p *proof) error { return p.kernelReceives() })
	s.Rekey = errors.Join(rekeySend, rekeyReceive)
	return s
}

// trial runs f with a change of the key, and without if that is what fails.
func trial(suite uint16, f func(*proof) error) (err, rekey error) {
	run := func(rekeys bool) error {
		p, err := newProof(suite, rekeys)
		if err != nil {
			return err
		}
		defer p.close()
		return f(p)
	}
	if rekey = run(true); rekey == nil {
		return nil, nil
	}
	return run(false), rekey
}

// proof is a connection whose one end the kernel and whose other the record engine does.
type proof struct {
	rekeys bool
	engine *record.Conn // all by itself
	kernel *record.Conn // what is not data, on the kernel's end
	socket *Socket
	pipe   [2]int // read, write
}

func newProof(suite uint16, rekeys bool) (p *proof, err error) {
	a, b, err := loopback()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	a.SetDeadline(time.Now().Add(testTime))
	b.SetDeadline(time.Now().Add(testTime))
	p = &proof{rekeys: rekeys}
	if p.socket, err = Attach(a, rekeys); err != nil {
		return nil, err
	}
	var secrets [2][2][sha256.Size * 3 / 2]byte // a copy for each end
	n := sha256.Size
	if suite == tls.TLS_AES_256_GCM_SHA384 {
		n = len(secrets[0][0])
	}
	for i := range secrets[0] {
		rand.Read(secrets[0][i][:])
	}
	secrets[1] = secrets[0]
	if p.kernel, err = record.New(a, suite, record.IsClient, secrets[0][0][:n], secrets[0][1][:n]); err != nil {
		return nil, err
	}
	if p.engine, err = record.New(b, suite, record.IsServer, secrets[1][1][:n], secrets[1][0][:n]); err != nil {
		return nil, err
	}
	if err = unix.Pipe2(p.pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	return p, nil
}

// loopback returns two ends of a connection whose segments are a network's. With the loopback's
// own, larger than the send buffer, it would wait for delayed acknowledgements.
func loopback() (a, b *net.TCPConn, err error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		cerr := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, 1400) })
		return errors.Join(cerr, err)
	}}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	a = c.(*net.TCPConn)
	if b, err = l.AcceptTCP(); err != nil {
		a.Close()
	}
	return a, b, err
}

func (p *proof) close() {
	unix.Close(p.pipe[0])
	unix.Close(p.pipe[1])
	p.socket.Reset()
	p.engine.NetConn().Close()
	p.engine.Release()
	p.kernel.Release()
}

// some returns up to so many random bytes, more often few than many.
func some(most int) []byte {
	b := make([]byte, 1+mrand.IntN(1<<mrand.IntN(17))%most)
	rand.Read(b)
	return b
}

// kernelSends has the kernel send, and the engine compare.
func (p *proof) kernelSends() error {
	// As little as the kernel allows: it has to stop within records.
	p.socket.conn.SetWriteBuffer(1)
	got := make(chan error, 1)
	sums := make(chan []byte, 1)
	go func() {
		h := sha256.New()
		_, err := io.Copy(h, onlyReader{p.engine})
		if err != nil {
			p.engine.NetConn().Close()
		}
		sums <- h.Sum(nil)
		got <- err
	}()
	h := sha256.New()
	err := p.send(h)
	if err != nil {
		p.socket.Reset()
	}
	sum, rerr := <-sums, <-got
	switch {
	case err != nil:
		return err
	case rerr != nil:
		return fmt.Errorf("the other end: %w", rerr)
	case !bytes.Equal(sum, h.Sum(nil)):
		return errCorrupt
	}
	return nil
}

func (p *proof) send(h hash.Hash) error {
	s := p.socket.Sender()
	if err := p.kernel.HandOverSending(s); err != nil {
		return err
	}
	for n := 0; n < testBytes; {
		b := some(testPipe)
		if n < testBytes/2 && n+len(b) >= testBytes/2 && p.rekeys {
			if err := p.kernel.UpdateKey(); err != nil {
				return err
			}
		}
		if _, err := unix.Write(p.pipe[1], b); err != nil {
			return os.NewSyscallError("write", err)
		}
		err := p.kernel.SendBy(MaxRecords, func() error { return s.Splice(p.pipe[0], len(b), func(int) {}) })
		if err != nil {
			return err
		}
		h.Write(b)
		n += len(b)
	}
	return p.kernel.CloseWrite()
}

// kernelReceives has the engine send, and the kernel's end compare.
func (p *proof) kernelReceives() error {
	sent := make(chan error, 1)
	sums := make(chan []byte, 1)
	go func() {
		h := sha256.New()
		err := p.feed(h)
		if err != nil {
			p.socket.Reset()
		}
		sums <- h.Sum(nil)
		sent <- err
	}()
	h := sha256.New()
	err := p.receive(h)
	if err != nil {
		p.engine.NetConn().Close()
	}
	sum, serr := <-sums, <-sent
	switch {
	case err != nil:
		return err
	case serr != nil:
		return fmt.Errorf("the other end: %w", serr)
	case !bytes.Equal(sum, h.Sum(nil)):
		return errCorrupt
	}
	return nil
}

func (p *proof) feed(h hash.Hash) error {
	for n := 0; n < testBytes; {
		b := some(testPipe)
		if n < testBytes/2 && n+len(b) >= testBytes/2 && p.rekeys {
			if err := p.engine.UpdateKey(); err != nil {
				return err
			}
		}
		if _, err := p.engine.Write(b); err != nil {
			return err
		}
		h.Write(b)
		n += len(b)
	}
	return p.engine.CloseWrite()
}

func (p *proof) receive(h hash.Hash) error {
	r := p.socket.Receiver()
	if err := p.kernel.HandOverReceiving(r); err != nil {
		return err
	}
	b := make([]byte, testPipe)
	for {
		n, err := r.Splice(p.pipe[1], len(some(testPipe)), true)
		if err != nil {
			return err
		}
		if n > 0 {
			if _, err := unix.Read(p.pipe[0], b[:n]); err != nil {
				return os.NewSyscallError("read", err)
			}
			h.Write(b[:n])
			p.kernel.Moved(1)
			continue
		}
		plain, err := p.kernel.Receive()
		for _, b := range plain {
			h.Write(b)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// onlyReader hides what io.Copy would use in place of Read.
type onlyReader struct{ io.Reader }
