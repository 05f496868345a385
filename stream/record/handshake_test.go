package record

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
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

// Whatever the config and the config for one client say, the secrets are found.
func TestConfigs(t *testing.T) {
	var log bytes.Buffer
	base := mutualTLS()
	logging := base.Clone()
	logging.KeyLogWriter = &log
	perClient := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return base, nil }}
	noOther := base.Clone()
	noOther.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	for name, cfg := range map[string]*tls.Config{"plain": base, "key log": logging, "per client": perClient, "none per client": noOther} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			var client *Conn
			var cerr error
			var wg sync.WaitGroup
			wg.Go(func() { client, cerr = Client(t.Context(), a, base) })
			server, err := Server(t.Context(), b, cfg)
			wg.Wait()
			if err != nil || cerr != nil {
				t.Fatal(err, cerr)
			}
			mustWrite(t, client, []byte("x"))
			mustRead(t, server, []byte("x"))
			if len(server.ConnectionState().PeerCertificates) != 1 {
				t.Error("the client's certificate is missing")
			}
			client.Close()
			server.Close()
		})
	}
	if !bytes.Contains(log.Bytes(), []byte("SERVER_TRAFFIC_SECRET_0")) {
		t.Error("the caller's own key log was not written")
	}
}

func TestTLS12IsUnsupported(t *testing.T) {
	a, b := tcpPair(t)
	cfg := mutualTLS()
	cfg.MaxVersion = tls.VersionTLS12
	go Server(t.Context(), b, cfg)
	if _, err := Client(t.Context(), a, mutualTLS()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket: %v, want it closed", err)
	}
}
