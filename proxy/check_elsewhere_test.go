package proxy

import (
	"context"
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// lonely is host-a, whose peer is whatever is at an address.
func lonely(t *testing.T, ca *pki.CA, address, limits string) *testHost {
	t.Helper()
	a := newTestHost(t, "host-a")
	a.trust(ca)
	a.certify(ca, pki.Host{NotBefore: time.Now().AddDate(-1, 0, 0)})
	a.noLibvirt = true
	a.start("", "[limits]\n"+limits+"\n[peers.host-b]\naddress = '"+address+"'\n")
	return a
}

// someone serves each connection as it likes, until the test's end.
func someone(t *testing.T, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func TestCheckPeerThatIsNotThere(t *testing.T) {
	ca := newAuthority(t, "CA")
	t.Run("its name does not resolve", func(t *testing.T) {
		a := lonely(t, ca, "no-such-host.invalid:16514", "")
		finds(t, a.checkPeer(), control.ResultError, "resolve", "name-unresolved", "", "no-such-host.invalid does not resolve", "peers.host-b.address")
	})
	t.Run("its port is closed", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		a := lonely(t, ca, l.Addr().String(), "")
		finds(t, a.checkPeer(), control.ResultError, "connect", "port-closed", "", "nothing listens at "+l.Addr().String())
	})
	t.Run("its port is filtered", func(t *testing.T) {
		a := lonely(t, ca, deaf(t), "handshake_timeout = '500ms'")
		finds(t, a.checkPeer(), control.ResultError, "connect", "port-filtered", "", "no answer from", "within 500ms", "a firewall drops the packets")
	})
}

func TestCheckPeerThatIsNoSluice(t *testing.T) {
	ca := newAuthority(t, "CA")
	t.Run("SSH", func(t *testing.T) {
		address := someone(t, func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			io.Copy(io.Discard, c)
		})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "not-tls", "here", "SSH server")
	})
	t.Run("silence", func(t *testing.T) {
		address := someone(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		finds(t, lonely(t, ca, address, "handshake_timeout = '500ms'").checkPeer(), control.ResultError, "TLS", "timeout", "here", "said nothing within 500ms")
	})
	t.Run("one that hangs up", func(t *testing.T) {
		address := someone(t, func(net.Conn) {})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "closed", "there", "closed the connection")
	})
	for _, from := range []string{"our CA", "another CA"} {
		t.Run("openssl s_server with a certificate of "+from, func(t *testing.T) {
			needs.Program(t, "openssl")
			issuer := ca
			if from != "our CA" {
				issuer = newAuthority(t, from)
			}
			finds(t, lonely(t, ca, opensslServer(t, issuer), "").checkPeer(), control.ResultError, "TLS", "not-sluice", "",
				"speaks TLS and is no sluice", `"CN=host-b,O=`+issuer.Cert.Subject.CommonName+`"`, "check the port")
		})
	}
}

// opensslServer is a TLS server that is not ours, for host-b.
func opensslServer(t *testing.T, ca *pki.CA) string {
	t.Helper()
	h := newTestHost(t, "host-b")
	h.certify(ca, pki.Host{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, "openssl", "s_server", "-quiet", "-accept", address, "-cert", h.path("cert.pem"), "-key", h.path("key.pem"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	eventually(t, "openssl listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}

// deaf is an address that answers no SYN, as behind a firewall that drops: a
// listener whose queue is full (listen(2), tcp_abort_on_overflow off).
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("this kernel's queue of connections does not fill")
	return ""
}
