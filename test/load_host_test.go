package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// loadHost has this program be one end of TestLoad's sessions: "accept", or the address to open them
// at. loadDir has the certificates and the sockets of those who stand for QEMU.
const (
	loadHost = "SLUICE_TEST_LOAD_HOST"
	loadDir  = "SLUICE_TEST_LOAD_DIR"
)

const (
	loadSessions = 200
	loadChannels = 4 // of each
	// loadRate is what all sessions share, far below what two processors carry, and loadBytes what a
	// channel carries.
	loadRate  = 8 << 20
	loadBytes = 128 << 10
	// loadOpening is how many are opened at once: the handshakes are not what is measured.
	loadOpening = 16
)

// loadCertificates writes those of a host, which its daemon and the other's trust.
func loadCertificates(dir string) error {
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		return err
	}
	pair, err := ca.Issue(pki.Host{Names: []string{"host"}})
	if err != nil {
		return err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.pem"), ca.CertPEM(), 0o600),
		os.WriteFile(filepath.Join(dir, "cert.pem"), pair.CertPEM(), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
}

func loadTLS(dir string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "host"}, nil
}

// hostOfLoad is the program of such a host. It ends with its standard input.
func hostOfLoad(role, dir string) error {
	cfg, err := loadTLS(dir)
	if err != nil {
		return err
	}
	// One limiter for all sessions, as total_bandwidth is.
	limits := stream.Limits{TotalSend: relay.NewLimiter(loadRate), TotalReceive: relay.NewLimiter(loadRate)}
	if role == "accept" {
		return acceptsLoad(cfg, limits, filepath.Join(dir, "to.sock"))
	}
	return opensLoad(cfg, limits, role, filepath.Join(dir, "from.sock"))
}

func acceptsLoad(cfg *tls.Config, limits stream.Limits, to string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a := &stream.Acceptor{Host: "host-b"}
	terms := &stream.Terms{Limits: limits, Accept: func(context.Context, stream.Info) (stream.Handler, func(*stream.Session), error) {
		return loadHandler(to), nil, nil
	}}
	fmt.Println(l.Addr())
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if conn, err := relay.Server(context.Background(), raw, cfg); err == nil {
					a.Serve(context.Background(), conn, func() (stream.Who, *stream.Terms) { return stream.Who{Peer: "host-a"}, terms })
				}
			}()
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// loadHandler connects each channel to this socket.
type loadHandler string

func (h loadHandler) Connect(context.Context, string, int) (net.Conn, error) {
	return net.Dial("unix", string(h))
}
func (loadHandler) Call(context.Context, string, []byte) (any, error) {
	return nil, errors.New("no calls")
}
func (loadHandler) End(*stream.Cause) {}

// opensLoad opens the sessions and their channels, and finishes each session once they have ended.
func opensLoad(cfg *tls.Config, limits stream.Limits, address, from string) error {
	o := &stream.Opener{Host: "host-a", Peer: "host-b", Address: address, Limits: limits}
	o.Dial = func(ctx context.Context, _ string, _ bool) (relay.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return relay.Client(ctx, raw, cfg)
	}
	var opening, all errgroup.Group
	opening.SetLimit(loadOpening)
	for i := range loadSessions {
		opening.Go(func() error {
			s, err := o.Open(context.Background(), stream.Info{ID: stream.NewID()})
			if err != nil {
				return err
			}
			var channels []*stream.Channel
			for range loadChannels {
				local, err := net.Dial("unix", from)
				if err != nil {
					return err
				}
				if _, err := local.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
					return err
				}
				c, err := s.OpenChannel(context.Background(), stream.ChannelMemory, local)
				if err != nil {
					return err
				}
				channels = append(channels, c)
			}
			all.Go(func() error {
				for _, c := range channels {
					<-c.Ended()
				}
				s.Finish()
				if c := s.Wait(); !c.Done() {
					return c
				}
				return nil
			})
			return nil
		})
	}
	if err := errors.Join(opening.Wait(), all.Wait()); err != nil {
		return err
	}
	fmt.Println("done")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
