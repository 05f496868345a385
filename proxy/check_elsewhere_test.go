package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// lonely is host-a, whose peer is whatever is at an address.
func lonely(t *testing.T, ca *pki.CA, address, limits string) *testHost {
	t.Helper()
	a := newTestHost(t, "host-a")
	a.Trust(ca)
	a.Certify(ca, pki.Host{NotBefore: time.Now().AddDate(-1, 0, 0)})
	a.noLibvirt = true
	a.start("", "[limits]\n"+limits+"\n[peers.host-b]\naddress = '"+address+"'\n")
	return a
}

func TestCheckPeerThatIsNotThere(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
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
		a := lonely(t, ca, hosttest.Deaf(t), "handshake_timeout = '500ms'")
		finds(t, a.checkPeer(), control.ResultError, "connect", "port-filtered", "", "no answer from", "within 500ms", "a firewall drops the packets")
	})
}

func TestCheckPeerThatIsNoSluice(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	t.Run("SSH", func(t *testing.T) {
		address := hosttest.Serve(t, func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			io.Copy(io.Discard, c)
		})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "not-tls", "here", "SSH server")
	})
	t.Run("silence", func(t *testing.T) {
		address := hosttest.Serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
		finds(t, lonely(t, ca, address, "handshake_timeout = '500ms'").checkPeer(), control.ResultError, "TLS", "timeout", "here", "sent nothing within 500ms")
	})
	t.Run("one that hangs up", func(t *testing.T) {
		address := hosttest.Serve(t, func(net.Conn) {})
		finds(t, lonely(t, ca, address, "").checkPeer(), control.ResultError, "TLS", "closed", "there", "closed the connection")
	})
	for _, from := range []string{"our CA", "another CA"} {
		t.Run("openssl s_server with a certificate of "+from, func(t *testing.T) {
			needs.Program(t, "openssl")
			issuer := ca
			if from != "our CA" {
				issuer = hosttest.NewAuthority(t, from)
			}
			finds(t, lonely(t, ca, hosttest.OpenSSLServer(t, issuer), "").checkPeer(), control.ResultError, "TLS", "not-sluice", "",
				"speaks TLS but is not sluice", `"CN=host-b,O=`+issuer.Cert.Subject.CommonName+`"`, "check the port")
		})
	}
}
