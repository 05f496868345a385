package direct

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/intercept/rules/rulestest"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/stream"
)

// nativeEnds are host-b's, which waits for guests of host-a: QEMU there is the
// test, and QEMU here an echo.
type nativeEnds struct {
	t    *testing.T
	a, b *hosttest.Files
	host *host.Host // b
}

func newNativeEnds(t *testing.T, limits string) *nativeEnds {
	t.Helper()
	a, b := hosttest.Pair(t, hosttest.NewAuthority(t, "CA"))
	h := &host.Host{Config: b.Configure("", hosttest.PeerA+"without_sluice = 'native-tls'\n[limits]\n"+limits), QEMUUID: os.Getuid(), State: new(host.State)}
	var err error
	if h.Peers, err = peer.New(h.Config, zerolog.Nop()); err == nil {
		h.Dir, err = rundir.Open(h.Config.RunDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Dir.Close)
	return &nativeEnds{t, a, b, h}
}

// open is one for a migration, and where it listens.
func (n *nativeEnds) open() (e *TLSEnd, address string) {
	n.t.Helper()
	e = &TLSEnd{host: n.host, peer: n.host.Peers.All["host-a"], log: zerolog.Nop()}
	if err := e.Open(stream.NewID(), TLSEndData{}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { e.End(false) })
	l, err := e.Dir.Listen(stream.ChannelMemory, -1)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return e, net.JoinHostPort("127.0.0.1", strconv.Itoa(e.Ports[stream.ChannelMemory]))
}

func (n *nativeEnds) dial(address string) net.Conn {
	n.t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// joins has QEMU of host-a heard by QEMU here.
func (n *nativeEnds) joins(address string) {
	n.t.Helper()
	pair, err := tls.LoadX509KeyPair(n.a.Path("cert.pem"), n.a.Path("key.pem"))
	if err != nil {
		n.t.Fatal(err)
	}
	c := tls.Client(n.dial(address), &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}) // it is the server that is tested
	var got [4]byte
	if _, err = c.Write([]byte("QEVM")); err == nil {
		_, err = io.ReadFull(c, got[:])
	}
	if err != nil || string(got[:]) != "QEVM" {
		n.t.Fatalf("%q, %v", got, err)
	}
}

// Anybody may connect, and be refused; that is told where nobody else came.
func TestNativeEndStranger(t *testing.T) {
	n := newNativeEnds(t, "")
	for _, joins := range []bool{false, true} {
		e, address := n.open()
		stranger := n.dial(address)
		stranger.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		io.Copy(io.Discard, stranger) // until it is refused
		if joins {
			n.joins(address)
		}
		cause := e.End(false)
		if joins && cause != nil {
			t.Errorf("a stranger is the cause: %v", cause)
		} else if !joins {
			if cause == nil {
				t.Fatal("no cause")
			}
			hosttest.Says(t, cause, "a connection from "+stranger.LocalAddr().String()+" was refused")
		}
	}
}

// Who is in the handshake when the migration ends has not been refused.
func TestNativeEndInHandshake(t *testing.T) {
	n := newNativeEnds(t, "")
	for range 50 {
		e, address := n.open()
		n.dial(address).Write([]byte{22, 3, 1}) // the beginning of a TLS record
		if cause := e.End(false); cause != nil {
			t.Fatal(cause)
		}
	}
}

// More connections than may be in their handshake wait, and none is closed for that.
func TestNativeEndFull(t *testing.T) {
	n := newNativeEnds(t, "handshake_timeout = '2s'\n")
	_, address := n.open()
	for range peer.MaxHandshakes {
		n.dial(address) // and says nothing
	}
	n.joins(address)
}

func TestNativeEndPorts(t *testing.T) {
	n := newNativeEnds(t, "")
	e := &TLSEnd{host: n.host, peer: n.host.Peers.All["host-a"], log: zerolog.Nop()}
	err := e.Open(stream.NewID(), TLSEndData{Port: 22})
	e.End(false)
	hosttest.Says(t, err, "port 22 cannot be used for a migration")

	for _, c := range []struct{ first, last, from, to int }{
		{0, 0, 49152, 49215}, // none is closed
		{49152, 49215, 49216, 49279},
		{49200, 49300, 49301, 49364},
		{50000, 50100, 49152, 49215},
		{49152, 65535, 49088, 49151},
	} {
		if from, to := ownPorts(c.first, c.last); from != c.from || to != c.to {
			t.Errorf("%d-%d are closed: %d-%d, want %d-%d", c.first, c.last, from, to, c.from, c.to)
		}
	}
	if from, to := ownPorts(1024, 65535); from <= to {
		t.Errorf("%d-%d of none", from, to)
	}
	rulestest.Close(t, 49152, 49215)
	for _, configured := range []bool{true, false} {
		cfg := n.b.Configure("", hosttest.PeerA)
		if configured {
			cfg = n.b.Configure("", hosttest.PeerA+"[intercept]\nports = '40000-40100'\n")
		}
		if first, last := ClosedPorts(cfg.Intercept); first != 49152 || last != 49215 {
			t.Errorf("configured %t: %d-%d are closed", configured, first, last)
		}
	}
	if _, err := rules.Down(); err != nil {
		t.Fatal(err)
	}
	cfg := n.b.Configure("", hosttest.PeerA+"[intercept]\n")
	if first, last := ClosedPorts(cfg.Intercept); last != 0 {
		t.Errorf("%d-%d are closed by nothing", first, last)
	}
}
