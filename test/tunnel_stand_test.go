package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// standPatience is longer than anything takes on a busy machine.
const standPatience = time.Minute

// stand is a folder with the certificates of host-a and host-b, in QEMU's
// layout, and the programs of one test.
type stand struct {
	t      *testing.T
	dir    string
	sluice string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tunnel") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &stand{t, dir, p.command}
	s.authority("", "host-a", "host-b")
	return s
}

// authority makes certificates by a new authority: of one host in the folder, or
// of each in a folder of its name.
func (s *stand) authority(folder string, hosts ...string) {
	s.t.Helper()
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range hosts {
		host, err := ca.Issue(pki.Host{Names: []string{name, "localhost"}}) // the name that QEMU's chardev expects of one there
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := pki.WriteLayout(s.path(cmp.Or(folder, name)), pki.LayoutQEMU, pki.Set{CA: ca, Server: host, Client: host}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stand) path(name string) string { return filepath.Join(s.dir, name) }

// as are the flags for a host's certificates.
func (s *stand) as(host string) []string {
	return s.files(host, "--ca", "--cert", "--key")
}

// files are a host's certificates behind other programs' flags, and what else
// follows.
func (s *stand) files(host, ca, cert, key string, more ...string) []string {
	at := func(name string) string { return filepath.Join(s.dir, host, name) }
	return append([]string{ca, at("ca-cert.pem"), cert, at("server-cert.pem"), key, at("server-key.pem")}, more...)
}

// program is one that runs until the test's end, with what it has said.
type program struct {
	*exec.Cmd
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await returns the first line of the output that has all the words.
func (p *program) await(words ...string) string {
	p.t.Helper()
	for end := time.Now().Add(standPatience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	lines:
		for line := range strings.Lines(p.output()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return line
		}
	}
	p.t.Fatalf("%q never came of %v:\n%s", words, p.Args, p.output())
	return ""
}

func (s *stand) start(name string, args ...string) *program {
	s.t.Helper()
	p := &program{Cmd: exec.Command(name, args...), t: s.t}
	p.Dir, p.Stdout, p.Stderr = s.dir, p, p
	s.run(p)
	return p
}

func (s *stand) run(p *program) {
	s.t.Helper()
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
		if s.t.Failed() {
			s.t.Logf("%v:\n%s", p.Args, p.output())
		}
	})
}

// tunnel starts a sluice tunnel with a host's certificates, and returns the
// HOST:PORT or path that it listens at.
func (s *stand) tunnel(host string, args ...string) (*program, string) {
	s.t.Helper()
	p := s.start(s.sluice, append(append([]string{"tunnel"}, s.as(host)...), args...)...)
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(p.await(`"listening"`)), &line); err != nil {
		s.t.Fatal(err)
	}
	_, at, _ := strings.Cut(line.Address, ":")
	return p, at
}

// dial connects to something that is coming up.
func (s *stand) dial(network, at string) net.Conn {
	s.t.Helper()
	var c net.Conn
	var err error
	for end := time.Now().Add(standPatience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err = net.Dial(network, at); err == nil {
			s.t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(standPatience))
			return c
		}
	}
	s.t.Fatal(err)
	return nil
}

// tap passes connections on, and looks at what the clients send.
type tap struct {
	at string // where it listens

	mu     sync.Mutex
	bytes  int
	marked bool // the marker has passed
}

// tap makes one in front of an address, whose program may come up later.
func (s *stand) tap(network, listen, to string) *tap {
	s.t.Helper()
	l, err := net.Listen(network, listen)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	p := &tap{at: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				out, err := net.Dial(network, to)
				if err != nil {
					return
				}
				defer out.Close()
				back := make(chan struct{})
				go func() {
					defer close(back)
					io.Copy(c, out)
					c.(interface{ CloseWrite() error }).CloseWrite()
				}()
				if p.pass(out, c) != nil {
					if t, ok := c.(*net.TCPConn); ok {
						t.SetLinger(0)
					}
					return
				}
				out.(interface{ CloseWrite() error }).CloseWrite()
				<-back
			}()
		}
	}()
	return p
}

// pass copies and looks, until in's end or a failure.
func (p *tap) pass(out, in net.Conn) error {
	buf := make([]byte, len(marker)+256<<10)
	kept := 0 // of the bytes before, which a marker may begin in
	for {
		n, err := in.Read(buf[kept:])
		piece := buf[:kept+n]
		p.mu.Lock()
		p.bytes += n
		p.marked = p.marked || bytes.Contains(piece, []byte(marker))
		p.mu.Unlock()
		if _, werr := out.Write(piece[kept:]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(buf, piece[max(0, len(piece)-len(marker)):])
	}
}

// saw wants that the marker has passed, or not.
func (p *tap) saw(t *testing.T, what string, marked bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marked != marked {
		t.Errorf("%s: among %d bytes memory in clear: %v, want %v", what, p.bytes, p.marked, marked)
	}
}

// nothing wants that not a byte has passed.
func (p *tap) nothing(t *testing.T, what string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes != 0 {
		t.Errorf("%s has got %d bytes", what, p.bytes)
	}
}
