package main

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// Other programs' TLS at either end of a tunnel.

// within ends a test's pipe that nothing comes of.
func within(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(r).ReadString('\n')
		got <- line
	}()
	select {
	case line := <-got:
		if line != want {
			t.Errorf("got %q, want %q", line, want)
		}
	case <-time.After(tunnelPatience):
		t.Errorf("nothing came, want %q", want)
	}
}

func TestTunnelClients(t *testing.T) {
	ts := newTunnels(t)
	out := ts.echo("unix", filepath.Join(ts.dir, "out.sock"))
	p, tls := ts.tunnel(append(ts.as("host-b"), "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", out)...)
	_, port, _ := net.SplitHostPort(tls[len("tls:"):])
	for _, c := range []struct {
		name string
		args []string
	}{
		{"openssl", append([]string{"s_client", "-quiet", "-connect", "127.0.0.1:" + port, "-verify_return_error", "-verify_hostname", "host-b"},
			ts.files("host-a", "-CAfile", "-cert", "-key")...)},
		{"gnutls-cli", append([]string{"--logfile", "/dev/null", "--port", port, "--verify-hostname", "host-b", "127.0.0.1"},
			ts.files("host-a", "--x509cafile", "--x509certfile", "--x509keyfile")...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			needs.Program(t, c.name)
			client := &process{Cmd: exec.Command(c.name, c.args...), t: t}
			client.Stderr = client
			in, _ := client.StdinPipe()
			answer, _ := client.StdoutPipe()
			ts.run(client)
			io.WriteString(in, "through the tunnel\n")
			within(t, answer, "through the tunnel\n")
			in.Close()
		})
	}
	p.await(`"connection":2,`)
}

func TestTunnelServers(t *testing.T) {
	for _, c := range []struct {
		name, ready string
		args        func(ts *tunnels, port string) []string
		answer      string
	}{
		{"openssl", "ACCEPT", func(ts *tunnels, port string) []string {
			return append([]string{"s_server", "-accept", "127.0.0.1:" + port, "-rev", "-Verify", "1", "-verify_return_error"},
				ts.files("host-b", "-CAfile", "-cert", "-key")...)
		}, "lennut eht hguorht\n"},
		{"gnutls-serv", "Server listening", func(ts *tunnels, port string) []string {
			return append([]string{"--echo", "--require-client-cert", "--verify-client-cert", "--port", port},
				ts.files("host-b", "--x509cafile", "--x509certfile", "--x509keyfile")...)
		}, "through the tunnel\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			needs.Program(t, c.name)
			ts := newTunnels(t)
			port := strconv.Itoa(needs.Port(t))
			server := &process{Cmd: exec.Command(c.name, c.args(ts, port)...), t: t}
			server.Stderr, server.Stdout = server, server
			ts.run(server)
			server.await(c.ready)
			_, in := ts.tunnel(append(ts.as("host-a"), "--listen", "tcp:127.0.0.1:0", "--to", "tls:127.0.0.1:"+port, "--tls-name", "host-b")...)
			conn := ts.dial(in)
			io.WriteString(conn, "through the tunnel\n")
			within(t, conn, c.answer)
			conn.Close() // s_server serves one at a time

			// One that expects somebody else hangs up before a byte is sent.
			p, _ := ts.tunnel(append(ts.as("host-a"), "--listen", "unix:in.sock", "--to", "tls:127.0.0.1:"+port)...)
			ts.dial("unix:" + filepath.Join(ts.dir, "in.sock"))
			p.await("expected 127.0.0.1")
		})
	}
}
