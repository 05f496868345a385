package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// Builtin runs one of the relays that come with the benchmark, until it is killed: "splice" without
// TLS, "loop", the plainest way to carry records, or "io.Copy", which is what everybody writes first. role is send (listen at the path local,
// connect to peer) or receive (listen at peer, connect to local).
func Builtin(name, role, local, peer, certs string) error {
	e := &end{name: name, sends: role == "send", local: local, peer: peer, certs: certs}
	if name != "splice" && name != "loop" && name != "io.Copy" || role != "send" && role != "receive" {
		return fmt.Errorf("there is no built-in relay %q %q", name, role)
	}
	var cfg *tls.Config
	switch name {
	case "io.Copy":
		var err error
		if cfg, err = e.config(); err != nil {
			return err
		}
	case "loop":
		prepareLoop()
	}
	network, at, toNetwork, to := "tcp", peer, "unix", local
	if e.sends {
		network, at, toNetwork, to = "unix", local, "tcp", peer
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return err
	}
	for {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := e.join(in, toNetwork, to, cfg); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

func (e *end) config() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(e.cert(), e.key())
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(e.ca())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ServerName:   certName, RootCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		MinVersion: tls.VersionTLS13,
	}, nil
}

// join relays one connection.
func (e *end) join(in net.Conn, network, to string, cfg *tls.Config) error {
	defer in.Close()
	out, err := net.Dial(network, to)
	if err != nil {
		return err
	}
	defer out.Close()
	if e.name == "loop" {
		if e.sends {
			return loop(in, out)
		}
		return loop(out, in)
	}
	if cfg != nil {
		secure := tls.Client(out, cfg)
		if e.sends {
			out = secure
		} else {
			secure = tls.Server(in, cfg)
			in = secure
		}
		if err := secure.Handshake(); err != nil {
			return err
		}
		// Go can't be told which suite of TLS 1.3 to take.
		if got := tls.CipherSuiteName(secure.ConnectionState().CipherSuite); got != suite {
			return fmt.Errorf("the handshake came to %s, and %s is measured", got, suite)
		}
	}
	errs := make(chan error, 2)
	copyTo := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if h, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
			err = h.CloseWrite()
		}
		errs <- err
	}
	go copyTo(out, in)
	go copyTo(in, out)
	return errors.Join(<-errs, <-errs)
}
