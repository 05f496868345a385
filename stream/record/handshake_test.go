package record

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// FuzzHandshake: what a stranger says in place of a handshake ends in an error, and none of it is
// taken for a stream.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), false)
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), false)
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x28"), true)
	f.Add([]byte("\x16\x03\x03\xff\xff"), true)
	var hello bytes.Buffer
	tls.Client(said{wire{Reader: new(bytes.Reader), Writer: &hello}}, mutualTLS()).Handshake()
	f.Add(hello.Bytes(), false)
	f.Fuzz(func(t *testing.T, says []byte, client bool) {
		raw := said{wire{Reader: bytes.NewReader(says), Writer: io.Discard}}
		if _, err := Perform(context.Background(), raw, mutualTLS(), Role(client)); err == nil {
			t.Errorf("a handshake with %q is done", says)
		}
	})
}

// said is a connection whose other end has said all that it will.
type said struct{ wire }

func (said) LocalAddr() net.Addr  { return new(net.TCPAddr) }
func (said) RemoteAddr() net.Addr { return new(net.TCPAddr) }
