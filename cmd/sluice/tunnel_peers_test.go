package main

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/stand"
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
	case <-time.After(stand.Patience):
		t.Errorf("nothing came, want %q", want)
	}
}

func TestTunnelClients(t *testing.T) {
	s := stand.New(t, "sluice")
	out := s.Echo("unix", s.Path("out.sock"))
	p, tls := s.Tunnel("host-b", "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", out)
	_, port, _ := net.SplitHostPort(tls)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"openssl", append([]string{"s_client", "-quiet", "-connect", "127.0.0.1:" + port, "-verify_return_error", "-verify_hostname", "host-b"},
			s.Files("host-a", "-CAfile", "-cert", "-key")...)},
		{"gnutls-cli", append([]string{"--logfile", "/dev/null", "--port", port, "--verify-hostname", "host-b", "127.0.0.1"},
			s.Files("host-a", "--x509cafile", "--x509certfile", "--x509keyfile")...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			needs.Program(t, c.name)
			client := s.Program(c.name, c.args...)
			client.Stdout = nil
			in, _ := client.StdinPipe()
			answer, _ := client.StdoutPipe()
			s.Run(client)
			io.WriteString(in, "through the tunnel\n")
			within(t, answer, "through the tunnel\n")
			in.Close()
		})
	}
	p.Await(`"connection":2,`)
}

func TestTunnelServers(t *testing.T) {
	for _, c := range []struct {
		name, ready string
		args        func(s *stand.Stand, port string) []string
		answer      string
	}{
		{"openssl", "ACCEPT", func(s *stand.Stand, port string) []string {
			return append([]string{"s_server", "-accept", "127.0.0.1:" + port, "-rev", "-Verify", "1", "-verify_return_error"},
				s.Files("host-b", "-CAfile", "-cert", "-key")...)
		}, "lennut eht hguorht\n"},
		{"gnutls-serv", "Server listening", func(s *stand.Stand, port string) []string {
			return append([]string{"--echo", "--require-client-cert", "--verify-client-cert", "--port", port},
				s.Files("host-b", "--x509cafile", "--x509certfile", "--x509keyfile")...)
		}, "through the tunnel\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			needs.Program(t, c.name)
			s := stand.New(t, "sluice")
			port := strconv.Itoa(needs.Port(t))
			server := s.Start(c.name, c.args(s, port)...)
			server.Await(c.ready)
			_, in := s.Tunnel("host-a", "--listen", "tcp:127.0.0.1:0", "--to", "tls:127.0.0.1:"+port, "--tls-name", "host-b")
			conn := s.Dial("tcp", in)
			io.WriteString(conn, "through the tunnel\n")
			within(t, conn, c.answer)
			conn.Close() // s_server serves one at a time

			// One that expects somebody else hangs up before a byte is sent.
			p, _ := s.Tunnel("host-a", "--listen", "unix:in.sock", "--to", "tls:127.0.0.1:"+port)
			s.Dial("unix", s.Path("in.sock"))
			p.Await("expected 127.0.0.1")
		})
	}
}
