package test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/stand"
)

// A chardev of QEMU with tls-creds, as the server and as the client, carried to
// a program without TLS on the other host. What speaks over it is QEMU's stub for
// gdb, of which the program asks what is in the guest's memory. (A monitor would
// take one byte at a time, and QEMU 7.2 then forgets what else a TLS record held.)
func TestChardevWithTLS(t *testing.T) {
	for version, priority := range versions {
		t.Run("server "+version, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			port := needs.Port(t)
			s.machine("host-b.vm", true, append(s.creds("host-b", "server", priority), "-gdb", "chardev:c0",
				"-chardev", fmt.Sprintf("socket,id=c0,host=127.0.0.1,port=%d,server=on,wait=off,tls-creds=tls0", port))...)
			p, at := s.Tunnel("host-a", "--listen", "unix:"+s.Path("console.sock"), "--to", fmt.Sprintf("tls:127.0.0.1:%d", port), "--tls-name", "host-b", "--close-notify", "optional")
			c := s.Dial("unix", at)
			readsMemory(t, c)
			c.Close()
			p.Await("connection ended", `"tls":"`+version+`"`)
		})
		t.Run("client "+version, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			l, err := net.Listen("unix", s.Path("console.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--close-notify", "optional", "--to", "unix:"+s.Path("console.sock"))
			_, port, _ := strings.Cut(at, ":")
			s.machine("host-a.vm", true, append(s.creds("host-a", "client", priority), "-gdb", "chardev:c0",
				"-chardev", "socket,id=c0,host=localhost,port="+port+",tls-creds=tls0")...) // QEMU expects the name that it connects to
			l.(*net.UnixListener).SetDeadline(time.Now().Add(stand.Patience))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			readsMemory(t, c)
			c.Close()
			p.Await("connection ended", `"tls":"`+version+`"`, "DNS:host-a")
		})
	}
}

// readsMemory asks for the marker of a page, as gdb does ("m ADDR,LENGTH" in its remote protocol).
func readsMemory(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(stand.Patience))
	for page := 1; page <= 100; page++ {
		ask := fmt.Sprintf("m%x,%x", page*4096, len(marker))
		sum := byte(0)
		for _, b := range []byte(ask) {
			sum += b
		}
		fmt.Fprintf(c, "$%s#%02x", ask, sum)
		want := "+$" + hex.EncodeToString([]byte(marker)) + "#"
		got := make([]byte, len(want)+2)
		if _, err := io.ReadFull(c, got); err != nil || !strings.HasPrefix(string(got), want) {
			t.Fatalf("page %d: got %q, %v", page, got, err)
		}
		io.WriteString(c, "+")
	}
}

// The stream of a VNC port through two tunnels: the protocol's handshake and a whole picture.
func TestVNC(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.machine("host-b.vm", false, "-device", "VGA", "-vnc", "unix:"+s.Path("vnc.sock"))
	b, to := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--to", "unix:"+s.Path("vnc.sock"))
	a, at := s.Tunnel("host-a", "--listen", "tcp:"+anyPort, "--to", "tls:"+to, "--tls-name", "host-b")
	c := s.Dial("tcp", at)
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	// RFC 6143, section 7.
	expect("RFB 003.008\n")
	io.WriteString(c, "RFB 003.008\n")
	expect("\x01\x01") // one security type: none
	io.WriteString(c, "\x01")
	expect("\x00\x00\x00\x00")
	io.WriteString(c, "\x01") // shared
	head := make([]byte, 24)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	width, height := int(head[0])<<8|int(head[1]), int(head[2])<<8|int(head[3])
	if _, err := io.CopyN(io.Discard, c, int64(head[20])<<24|int64(head[21])<<16|int64(head[22])<<8|int64(head[23])); err != nil {
		t.Fatal(err)
	}
	if width*height == 0 {
		t.Fatalf("the screen is %d by %d", width, height)
	}
	io.WriteString(c, "\x02\x00\x00\x01\x00\x00\x00\x00")                              // raw pixels alone
	c.Write([]byte{3, 0, 0, 0, 0, 0, head[0], head[1], head[2], head[3]})              // all of it
	expect("\x00\x00\x00\x01\x00\x00\x00\x00" + string(head[:4]) + "\x00\x00\x00\x00") // one rectangle
	if _, err := io.CopyN(io.Discard, c, int64(width*height*int(head[4])/8)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, p := range []*stand.Program{a, b} {
		p.Await("connection ended", `"tls":"TLS1.3"`)
	}
}

// Other programs' TLS, 1.2 and 1.3, as clients and as servers, both sides showing
// their certificates.
func TestTunnelPeers(t *testing.T) {
	for version, priority := range versions {
		opensslVersion := map[string]string{"TLS1.3": "-tls1_3", "TLS1.2": "-tls1_2"}[version]
		t.Run("gnutls-cli "+version, func(t *testing.T) {
			t.Parallel()
			needs.Program(t, "gnutls-cli")
			s := newStand(t)
			// It answers only when the client has ended its part of the stream.
			p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--to", "exec:sh -c 'wc -c; echo the end'")
			_, port, _ := strings.Cut(at, ":")
			client := exec.Command("gnutls-cli", append([]string{"--logfile", "/dev/null", "--priority", priority, "--port", port, "--verify-hostname", "host-b"},
				s.Files("host-a", "--x509cafile", "--x509certfile", "--x509keyfile", "127.0.0.1")...)...)
			client.Stdin = strings.NewReader(strings.Repeat("sluice\n", 10000))
			out, err := client.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "70000\nthe end\n") {
				t.Errorf("%v: %s", err, out)
			}
			p.Await("connection ended", `"tls":"`+version+`"`, "DNS:host-a", `"sent":70000`)
		})
		for name, args := range map[string][]string{
			"openssl s_server": {"s_server", opensslVersion, "-rev", "-Verify", "1", "-verify_return_error", "-accept"},
			"gnutls-serv":      {"--echo", "--priority", priority, "--require-client-cert", "--verify-client-cert", "--port"},
		} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				s := newStand(t)
				port := needs.Port(t)
				program, last := "gnutls-serv", fmt.Sprint(port)
				files := s.Files("host-b", "--x509cafile", "--x509certfile", "--x509keyfile")
				if strings.HasPrefix(name, "openssl") {
					program, last = "openssl", fmt.Sprintf("127.0.0.1:%d", port)
					files = s.Files("host-b", "-CAfile", "-cert", "-key")
				}
				needs.Program(t, program)
				s.Start(program, append(append(args, last), files...)...)
				s.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)).Close()
				p, in := s.Tunnel("host-a", "--listen", "unix:"+s.Path("in.sock"), "--to", fmt.Sprintf("tls:127.0.0.1:%d", port), "--tls-name", "host-b")
				c := s.Dial("unix", in)
				io.WriteString(c, "through the tunnel\n")
				want := map[string]string{"openssl": "lennut eht hguorht\n", "gnutls-serv": "through the tunnel\n"}[program]
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
					t.Errorf("got %q, %v", got, err)
				}
				c.Close()
				p.Await(`"tls":"`+version+`"`, `"sent":19`)
			})
		}
	}
}
