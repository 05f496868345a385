package test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/stand"
)

// The service's main process speaks with systemd for its daemon, whose listeners it hands on. Another
// one's daemon follows the first's, and both end when the service is stopped.
func TestService(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if err := os.WriteFile(s.Path("sluice.toml"), fmt.Appendf(nil, `
name = "host-b"
listen = "127.0.0.1:0"
run_dir = "%[1]s/run"
[certificates]
dir = "%[1]s/host-b"
layout = "qemu"
[[tunnel]]
name = "echo"
listen = "fd:3"
to = "exec:cat"
tls = "no"
`, s.Dir), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	notes := notifications(t, s.Path("notify"))
	begin := func() *stand.Program {
		t.Helper()
		d := s.Program("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, p.daemon, "serve", "--service", "--config", s.Path("sluice.toml"))
		d.Env = append(os.Environ(), "NOTIFY_SOCKET="+s.Path("notify"), "LISTEN_FDS=1")
		d.ExtraFiles = []*os.File{listener}
		s.Run(d)
		t.Cleanup(func() { d.Process.Signal(syscall.SIGTERM); d.Wait() }) // else its daemon lives on
		from, says := notes()
		if from != d.Process.Pid || !strings.HasPrefix(says, "READY=1") {
			t.Fatalf("process %d says %q to systemd, want READY=1 of %d", from, says, d.Process.Pid)
		}
		return d
	}
	first := begin()
	c := s.Dial("tcp", l.Addr().String())
	defer c.Close()
	echo := func() {
		t.Helper()
		fmt.Fprint(c, "hello")
		if n, err := c.Read(make([]byte, 5)); n != 5 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	echo()
	second := begin()
	first.Await("another sluice serves from now on")
	echo()
	c.Close()
	second.Process.Signal(syscall.SIGTERM)
	for _, d := range []*stand.Program{second, first} {
		if err := d.Wait(); err != nil {
			t.Errorf("the service ends with %v", err)
		}
	}
}

// notifications are what processes say to systemd at a socket, and who says it.
func notifications(t *testing.T, path string) func() (pid int, says string) {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err != nil {
		t.Fatal(err)
	}
	return func() (int, string) {
		t.Helper()
		text, oob := make([]byte, 4096), make([]byte, 256)
		l.SetReadDeadline(time.Now().Add(stand.Patience))
		n, oobn, _, _, err := l.ReadMsgUnix(text, oob)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			t.Fatalf("%d control messages, %v", len(messages), err)
		}
		who, err := unix.ParseUnixCredentials(&messages[0])
		if err != nil {
			t.Fatal(err)
		}
		return int(who.Pid), string(text[:n])
	}
}
