//go:build kerneltls

package ktls

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// kernelEnd is a connection whose one end the kernel does.
type kernelEnd struct {
	*proof
	receiver *Receiver
}

// each runs f with a connection whose one end the kernel does, both directions.
func each(t *testing.T, f func(t *testing.T, p *kernelEnd)) {
	for _, suite := range Suites {
		t.Run(tls.CipherSuiteName(suite), func(t *testing.T) {
			made, err := newProof(suite, rekeys(t))
			if err != nil {
				t.Fatal(err)
			}
			p := &kernelEnd{proof: made}
			defer p.close()
			if err := p.kernel.HandOverSending(p.socket.Sender()); err != nil {
				t.Fatal(err)
			}
			p.receiver = p.socket.Receiver()
			if err := p.kernel.HandOverReceiving(p.receiver); err != nil {
				t.Fatal(err)
			}
			f(t, p)
		})
	}
}

// says has the kernel's end send one record that the engine would not.
func (p *kernelEnd) says(t *testing.T, typ byte, content ...byte) {
	t.Helper()
	if err := p.socket.Sender().Control(typ, content); err != nil {
		t.Error(err)
	}
}

// splices has the kernel's end send data.
func (p *kernelEnd) splices(b []byte) error {
	if _, err := unix.Write(p.pipe[1], b); err != nil {
		return err
	}
	return p.kernel.SendBy(MaxRecords, func() error { return p.socket.Sender().Splice(p.pipe[0], len(b), func(int) {}) })
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// expect reads exactly b, through the kernel or not.
func expect(t *testing.T, c io.Reader, b []byte) {
	t.Helper()
	got := make([]byte, len(b))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Fatal("bytes came out changed")
	}
}
