package test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/stand"
)

// diskMiB is what a test's disk holds.
const diskMiB = 32

// disk makes an image with random content, and markers.
func (s *tunnelStand) disk(name string) string {
	s.t.Helper()
	content := make([]byte, diskMiB<<20)
	rand.Read(content)
	for at := 0; at < len(content); at += 4096 {
		copy(content[at:], marker)
	}
	if err := os.WriteFile(s.Path(name), content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.Path(name)
}

// qemuImg runs it to its end.
func (s *tunnelStand) qemuImg(args ...string) (string, error) {
	s.t.Helper()
	needs.Program(s.t, "qemu-img")
	c := exec.Command("qemu-img", args...)
	c.Dir = s.Dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// nbd is an image as QEMU's programs name it, over NBD.
func nbd(server, more string) string {
	return fmt.Sprintf("driver=nbd,export=disk,%s%s", server, more)
}

// qemu-img in clear, qemu-nbd with --tls-creds: sluice asks it for TLS in NBD's
// words. The disk is read, compared, and written.
func TestNBDServerWithTLS(t *testing.T) {
	for version, priority := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			needs.Program(t, "qemu-nbd")
			s := newStand(t)
			disk := s.disk("disk.img")
			port := needs.Port(t)
			s.Start("qemu-nbd", "--persistent", "--shared=4", "--format=raw", "--export-name=disk", "--bind=127.0.0.1", fmt.Sprintf("--port=%d", port),
				"--object", s.credsObject("host-b", "server", priority), "--tls-creds=tls0", disk)
			s.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)).Close()
			wire := s.tap("tcp", anyPort, fmt.Sprintf("127.0.0.1:%d", port))
			p, in := s.Tunnel("host-a", "--listen", "unix:"+s.Path("in.sock"), "--to", "tls:"+wire.at, "--tls-name", "host-b", "--starttls", "nbd", "--close-notify", "optional")
			s.readAndWrite(nbd("server.type=unix,server.path="+in, ""), disk)
			wire.saw(t, "the way between hosts", false)
			p.Await("connection ended", `"tls":"`+version+`"`)
		})
	}
}

// qemu-img with tls-creds, qemu-nbd in clear: sluice is the server that wants
// TLS, and has it before the clear one is connected to.
func TestNBDClientWithTLS(t *testing.T) {
	for version, priority := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			needs.Program(t, "qemu-nbd")
			s := newStand(t)
			disk := s.disk("disk.img")
			out := s.Path("out.sock")
			s.Start("qemu-nbd", "--persistent", "--shared=4", "--format=raw", "--export-name=disk", "--socket="+out, disk)
			s.Dial("unix", out).Close()
			clear := s.tap("unix", s.Path("clear.sock"), out)
			p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--starttls", "nbd", "--close-notify", "optional", "--to", "unix:"+clear.at)
			wire := s.tap("tcp", anyPort, at)
			host, port, _ := strings.Cut(wire.at, ":")
			creds := []string{"--object", s.credsObject("host-a", "client", priority)}
			s.readAndWrite(nbd("server.type=inet,server.host="+host+",server.port="+port, ",tls-creds=tls0,tls-hostname=host-b"), disk, creds...)
			wire.saw(t, "the way between hosts", false)
			clear.saw(t, "the server's socket", true)
			p.Await("connection ended", `"tls":"`+version+`"`, "DNS:host-a")
		})
	}
}

// nbdkit as a command, one for each connection, behind TLS that it knows nothing of.
func TestNBDCommand(t *testing.T) {
	t.Parallel()
	needs.Program(t, "nbdkit")
	s := newStand(t)
	disk := s.disk("disk.img")
	p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--starttls", "nbd", "--close-notify", "optional",
		"--to", "exec:nbdkit -s file '"+disk+"'")
	host, port, _ := strings.Cut(at, ":")
	s.readAndWrite(nbd("server.type=inet,server.host="+host+",server.port="+port, ",tls-creds=tls0,tls-hostname=host-b"), disk,
		"--object", s.credsObject("host-a", "client", "NORMAL"))
	p.Await("connection ended", `"command":"status 0`)
}

// readAndWrite copies a disk from NBD, compares it there, and writes another.
func (s *tunnelStand) readAndWrite(image, disk string, creds ...string) {
	s.t.Helper()
	run := func(command string, args ...string) {
		s.t.Helper()
		if out, err := s.qemuImg(append(append([]string{command}, creds...), args...)...); err != nil {
			s.t.Fatalf("qemu-img %s: %v: %s", command, err, out)
		}
	}
	run("convert", "--image-opts", "-O", "raw", image, s.Path("copy.img"))
	s.sameFile(s.Path("copy.img"), disk)
	run("compare", "--image-opts", image, "driver=file,filename="+disk)
	other := s.disk("other.img")
	run("convert", "--image-opts", "--target-image-opts", "-n", "driver=file,filename="+other, image)
	s.sameFile(disk, other)
}

func (s *tunnelStand) sameFile(a, b string) {
	s.t.Helper()
	one, err := os.ReadFile(a)
	if err != nil {
		s.t.Fatal(err)
	}
	two, err := os.ReadFile(b)
	if err != nil {
		s.t.Fatal(err)
	}
	if string(one) != string(two) {
		s.t.Errorf("%s and %s differ", a, b)
	}
}

// A client without TLS is told that it needs it, one of another name that it is
// not let in; and a server without TLS is not sent a byte of the disk.
func TestNBDRefused(t *testing.T) {
	t.Parallel()
	needs.Program(t, "qemu-nbd")
	s := newStand(t)
	clear := s.tap("unix", s.Path("clear.sock"), s.Path("nobody.sock"))
	var p *stand.Program
	for _, c := range []struct{ allow, more, client, sluice string }{
		{"host-a", "", "TLS", "it does not ask for TLS, and was told that TLS is required"},
		{"host-x", ",tls-creds=tls0,tls-hostname=host-b", "", "its name is not allowed: it has DNS:host-a"},
		{"host-a", ",tls-creds=tls0,tls-hostname=host-x", "Certificate does not match the hostname host-x", ""},
	} {
		var at string
		p, at = s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", c.allow, "--starttls", "nbd", "--to", "unix:"+clear.at)
		host, port, _ := strings.Cut(at, ":")
		server := "server.type=inet,server.host=" + host + ",server.port=" + port
		out, err := s.qemuImg("info", "--object", s.credsObject("host-a", "client", "NORMAL"), "--image-opts", nbd(server, c.more))
		if err == nil || !strings.Contains(out, c.client) {
			t.Errorf("qemu-img %s: %v: %s", c.more, err, out)
		}
		p.Await("connection failed", c.sluice)
	}
	clear.nothing(t, "the server's socket")

	// A server without TLS says so in NBD's words.
	disk := s.disk("disk.img")
	plain := needs.Port(t)
	s.Start("qemu-nbd", "--persistent", "--format=raw", "--export-name=disk", "--bind=127.0.0.1", fmt.Sprintf("--port=%d", plain), disk)
	s.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", plain)).Close()
	wire := s.tap("tcp", anyPort, fmt.Sprintf("127.0.0.1:%d", plain))
	p, in := s.Tunnel("host-a", "--listen", "unix:"+s.Path("in.sock"), "--to", "tls:"+wire.at, "--tls-name", "host-b", "--starttls", "nbd")
	if out, err := s.qemuImg("convert", "--image-opts", "--target-image-opts", "-n", "driver=file,filename="+s.disk("other.img"), nbd("server.type=unix,server.path="+in, "")); err == nil {
		t.Errorf("qemu-img: %s", out)
	}
	p.Await("connection failed", "the server refuses TLS", "is it set up with certificates")
	wire.saw(t, "the way between hosts", false)
}
