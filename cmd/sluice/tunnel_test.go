package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

const tunnelPatience = 30 * time.Second

// tunnels is a folder with the certificates of host-a and host-b.
type tunnels struct {
	t   *testing.T
	dir string
}

func newTunnels(t *testing.T) *tunnels {
	t.Helper()
	dir, err := os.MkdirTemp("", "tunnel") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host-a", "host-b"} {
		host, err := ca.Issue(pki.Host{Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pki.WriteLayout(filepath.Join(dir, name), pki.LayoutQEMU, pki.Set{CA: ca, Server: host, Client: host}); err != nil {
			t.Fatal(err)
		}
	}
	return &tunnels{t, dir}
}

// files are a host's certificates, after flags of these names.
func (ts *tunnels) files(host, ca, cert, key string) []string {
	at := func(name string) string { return filepath.Join(ts.dir, host, name) }
	return []string{ca, at("ca-cert.pem"), cert, at("server-cert.pem"), key, at("server-key.pem")}
}

func (ts *tunnels) as(host string) []string { return ts.files(host, "--ca", "--cert", "--key") }

// process is a program with its output.
type process struct {
	*exec.Cmd
	t *testing.T
	transcript
}

// await returns the first line of the output that has these words.
func (p *process) await(words string) string {
	p.t.Helper()
	line, ok := p.line(words, tunnelPatience)
	if !ok {
		p.t.Fatalf("%q never came of %v:\n%s", words, p.Args, p.output())
	}
	return line
}

func (ts *tunnels) start(name string, args ...string) *process {
	ts.t.Helper()
	p := &process{Cmd: exec.Command(name, args...), t: ts.t}
	p.Stderr = p
	ts.run(p)
	return p
}

func (ts *tunnels) run(p *process) {
	ts.t.Helper()
	p.Dir = ts.dir
	if err := p.Start(); err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
}

// tunnel starts a sluice tunnel, and returns the address that it listens at.
func (ts *tunnels) tunnel(args ...string) (*process, string) {
	ts.t.Helper()
	p := ts.start("sluice", append([]string{"tunnel"}, args...)...)
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(p.await(`"listening"`)), &line); err != nil {
		ts.t.Fatal(err)
	}
	return p, line.Address
}

// echo answers with what it gets, and ends as its client does.
func (ts *tunnels) echo(network, at string) string {
	ts.t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := io.Copy(c, c); err == nil {
					c.(interface{ CloseWrite() error }).CloseWrite()
				}
			}()
		}
	}()
	return network + ":" + l.Addr().String()
}

func (ts *tunnels) dial(address string) net.Conn {
	ts.t.Helper()
	network, at, _ := strings.Cut(address, ":")
	c, err := net.DialTimeout(network, at, tunnelPatience)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(tunnelPatience))
	return c
}

func TestTunnels(t *testing.T) { testTunnels(t, "records") }

// testTunnels has two processes, unix to TLS to unix, as one would set them up;
// and their ends.
func testTunnels(t *testing.T, path string) {
	ts := newTunnels(t)
	out := ts.echo("unix", filepath.Join(ts.dir, "out.sock"))
	b, tls := ts.tunnel(append(ts.as("host-b"), "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", out, "--path", path)...)
	a, _ := ts.tunnel(append(ts.as("host-a"), "--listen", "unix:in.sock", "--to", tls, "--tls-name", "host-b", "--path", path)...)
	c := ts.dial("unix:" + filepath.Join(ts.dir, "in.sock"))
	data := bytes.Repeat([]byte("sluice"), 1<<20)
	go func() {
		c.Write(data)
		c.(*net.UnixConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	for _, p := range []*process{a, b} {
		line := p.await("connection ended")
		for _, want := range []string{`"path":"` + path + `"`, `"tls":"TLS1.3"`, `"suite":"TLS_`, `"sent":6291456,"received":6291456`} {
			if !strings.Contains(line, want) {
				t.Errorf("the status line lacks %s: %s", want, line)
			}
		}
		p.Process.Signal(syscall.SIGTERM)
		if err := p.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, p.output())
		}
	}
	if _, err := os.Stat(filepath.Join(ts.dir, "in.sock")); err == nil {
		t.Error("the socket is left over")
	}
}

// A relay that is killed is no orderly end for the program at the other one's
// socket; a second signal cuts connections off and says so.
func TestTunnelKilled(t *testing.T) {
	ts := newTunnels(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, tls := ts.tunnel(append(ts.as("host-b"), "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", "tcp:"+l.Addr().String())...)
	for _, signals := range [][]syscall.Signal{{syscall.SIGKILL}, {syscall.SIGINT, syscall.SIGINT}} {
		a, in := ts.tunnel(append(ts.as("host-a"), "--listen", "tcp:127.0.0.1:0", "--to", tls, "--tls-name", "host-b")...)
		client := ts.dial(in)
		client.Write([]byte("half of it"))
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		server.SetDeadline(time.Now().Add(tunnelPatience))
		if _, err := io.ReadFull(server, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		for i, s := range signals {
			if i > 0 {
				a.await("no new connections")
			}
			a.Process.Signal(s)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %v the server reads %v", signals, err)
		}
		if err := a.Wait(); len(signals) == 2 && a.ProcessState.ExitCode() != 1 {
			t.Errorf("cut off, it ends with %v:\n%s", err, a.output())
		}
	}
}
