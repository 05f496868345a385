package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
)

// A daemon's [[tunnel]] at a socket that it is started with, as by a systemd
// socket unit, with TLS by the host's default: a QEMU with tls-creds sends a
// guest, and another has its disk served; status, reload and drain.
func TestTunnelsOfADaemon(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	handed, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	config := fmt.Sprintf(`
name = "host-b"
listen = "127.0.0.1:0"
run_dir = "%[1]s/run"
[certificates]
dir = "%[1]s/host-b"
layout = "qemu"
[[tunnel]]
name = "incoming"
listen = "fd:3"
to = "unix:%[1]s/in.sock"
allow = ["host-a"]
close_notify = "optional"
[[tunnel]]
name = "other"
listen = "unix:%[1]s/run/tunnels/other.sock"
to = "exec:cat"
`, s.Dir)
	if err := os.WriteFile(s.Path("sluice.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	d := s.Program(p.daemon, "serve", "--config", s.Path("sluice.toml"))
	d.ExtraFiles = []*os.File{handed}
	s.Run(d)
	handed.Close()
	d.Await(`"message":"ready"`)

	b := s.machine("host-b.vm", false, "-incoming", "unix:"+s.Path("in.sock"))
	wire := s.tap("tcp", anyPort, at)
	a := s.machine("host-a.vm", true, s.creds("host-a", "client", "NORMAL")...)
	a.migrateTLS("host-b")
	a.migrate("tcp:" + wire.at)
	if status, words := a.migrated(); status != "completed" {
		t.Fatalf("%s: %s", status, words)
	}
	b.same(a)
	wire.saw(t, "the way between hosts", false)
	d.Await("connection ended", `"tunnel":"incoming"`, "DNS:host-a")

	status := exec.Command(s.Sluice, "status", "--json", "--socket", s.Path("run/control.sock"))
	out, err := status.Output()
	var st control.Status
	if err != nil || json.Unmarshal(out, &st) != nil || len(st.Tunnels) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	if got := st.Tunnels[0]; got.TLS != control.Unset || got.TLSInEffect != control.Yes || got.TLSWhy != "this host's default" || got.Listen != "fd:3" ||
		got.Done != 1 || got.Failed != 0 || got.Sent < machineMiB<<20 || len(got.Ended) != 1 || got.Ended[0].TLS != "TLS1.3" {
		t.Errorf("%+v", got)
	}
	out, err = exec.Command(s.Sluice, "status", "--socket", s.Path("run/control.sock")).Output()
	if err != nil || !strings.Contains(string(out), "this host's default (tls: unset)") || !strings.Contains(string(out), "neither side is TCP (tls: unset)") {
		t.Errorf("%v: %s", err, out)
	}

	// New certificates by SIGHUP: those of another authority let nobody in.
	if err := os.RemoveAll(s.Path("host-b")); err != nil {
		t.Fatal(err)
	}
	s.Authority("host-b", "host-b")
	d.Process.Signal(syscall.SIGHUP)
	d.Await("new certificates are in use")
	late := s.machine("late.vm", true, s.creds("host-a", "client", "NORMAL")...)
	late.migrateTLS("host-b")
	late.migrate("tcp:" + at)
	if status, words := late.migrated(); status != "failed" {
		t.Errorf("%s: %s", status, words)
	}
	d.Await("connection failed", `"tunnel":"incoming"`, `"sent":0,"received":0`)
	late.stays()

	// A drain waits for what is under way.
	c := s.Dial("unix", s.Path("run/tunnels/other.sock"))
	echo := func(text string) {
		t.Helper()
		io.WriteString(c, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Errorf("got %q, %v", got, err)
		}
	}
	echo("before")
	d.Process.Signal(syscall.SIGTERM)
	d.Await("stopping: no new sessions")
	echo("and after")
	c.Close()
	if err := d.Wait(); err != nil {
		t.Errorf("the daemon ends with %v", err)
	}
}

// Standard input and output as the stream, as ssh's ProxyCommand and inetd give
// it: sluice ends with the stream, with its status.
func TestTunnelOfStandardInput(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	_, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--to", "exec:tr a-z A-Z")
	for _, c := range []struct {
		name   string
		status int
		want   string
	}{{"host-b", 0, "THROUGH\n"}, {"host-x", 1, ""}} {
		p := exec.Command(s.Sluice, append(append([]string{"tunnel"}, s.As("host-a")...), "--listen", "fd:0,1", "--to", "tls:"+at, "--tls-name", c.name)...)
		p.Stdin = strings.NewReader("through\n")
		out, err := p.Output()
		if p.ProcessState.ExitCode() != c.status || string(out) != c.want {
			t.Errorf("%s: %q, %v", c.name, out, err)
		}
	}
}
