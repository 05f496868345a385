package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/stand"
)

func TestTunnels(t *testing.T) { testTunnels(t, "records") }

// testTunnels has two processes, unix to TLS to unix, as one would set them up; and their ends.
func testTunnels(t *testing.T, path string) {
	s := stand.New(t, "sluice")
	out := s.Echo("unix", s.Path("out.sock"))
	b, tls := s.Tunnel("host-b", "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", out, "--path", path)
	a, _ := s.Tunnel("host-a", "--listen", "unix:in.sock", "--to", "tls:"+tls, "--tls-name", "host-b", "--path", path)
	c := s.Dial("unix", s.Path("in.sock"))
	data := bytes.Repeat([]byte("sluice"), 1<<20)
	go func() {
		c.Write(data)
		c.(*net.UnixConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	for _, p := range []*stand.Program{a, b} {
		line := p.Await("connection ended")
		for _, want := range []string{`"path":"` + path + `"`, `"tls":"TLS1.3"`, `"suite":"TLS_`, `"sent":6291456,"received":6291456`} {
			if !strings.Contains(line, want) {
				t.Errorf("the status line lacks %s: %s", want, line)
			}
		}
		p.Process.Signal(syscall.SIGTERM)
		if err := p.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, p.Text())
		}
	}
	if _, err := os.Stat(s.Path("in.sock")); err == nil {
		t.Error("the socket is left over")
	}
}

// A relay that is killed is no orderly end for the program at the other one's
// socket; a second signal cuts connections off and says so.
func TestTunnelKilled(t *testing.T) {
	s := stand.New(t, "sluice")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, tls := s.Tunnel("host-b", "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", "tcp:"+l.Addr().String())
	for _, signals := range [][]syscall.Signal{{syscall.SIGKILL}, {syscall.SIGINT, syscall.SIGINT}} {
		a, in := s.Tunnel("host-a", "--listen", "tcp:127.0.0.1:0", "--to", "tls:"+tls, "--tls-name", "host-b")
		client := s.Dial("tcp", in)
		client.Write([]byte("half of it"))
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		server.SetDeadline(time.Now().Add(stand.Patience))
		if _, err := io.ReadFull(server, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		for i, signal := range signals {
			if i > 0 {
				a.Await("no new connections")
			}
			a.Process.Signal(signal)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %v the server reads %v", signals, err)
		}
		if err := a.Wait(); len(signals) == 2 && a.ProcessState.ExitCode() != 1 {
			t.Errorf("cut off, it ends with %v:\n%s", err, a.Text())
		}
	}
}
