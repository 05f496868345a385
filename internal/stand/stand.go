// Package stand sets up what a test of whole programs needs on this machine: a folder with the
// certificates of two hosts, programs that end with the test, what they say, and connections to
// them.
//
//	s := stand.New(t, "bin/sluice")
//	p, at := s.Tunnel("host-b", "--listen", "tls:127.0.0.1:0", "--allow", "host-a", "--to", s.Echo("unix", s.Path("out")))
//	c := s.Dial("tcp", at)
//	p.Await("connection ended")
//
// It also builds sluice for such tests, and looks at what a daemon holds. What needs two hosts is in
// internal/lab and internal/site.
package stand

import (
	"cmp"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// Patience is longer than anything takes on a busy machine.
const Patience = time.Minute

// Stand is the folder of one test.
type Stand struct {
	Dir    string // short enough for the paths of unix sockets
	Sluice string // the program
	t      *testing.T
}

// New makes a folder with certificates of host-a and host-b by one authority, each in a folder of
// its name in QEMU's layout.
func New(t *testing.T, sluice string) *Stand {
	t.Helper()
	s := &Stand{Dir: Folder(t), Sluice: sluice, t: t}
	s.Authority("", "host-a", "host-b")
	return s
}

// Folder makes a folder that goes with the test, and whose path, unlike that of t.TempDir, is short
// enough for those of unix sockets.
func Folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Authority makes certificates by a new authority: of one host in the folder, or of each in a
// folder of its name.
func (s *Stand) Authority(folder string, hosts ...string) {
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
		if _, err := pki.WriteLayout(s.Path(cmp.Or(folder, name)), pki.LayoutQEMU, pki.Set{CA: ca, Server: host, Client: host}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Path is that of a file in the stand's folder.
func (s *Stand) Path(name string) string { return filepath.Join(s.Dir, name) }

// As are the flags of sluice for a host's certificates.
func (s *Stand) As(host string) []string {
	return s.Files(host, "--ca", "--cert", "--key")
}

// Files are a host's certificates behind the flags of any program, and what else follows.
func (s *Stand) Files(host, ca, cert, key string, more ...string) []string {
	at := func(name string) string { return s.Path(filepath.Join(host, name)) }
	return append([]string{ca, at("ca-cert.pem"), cert, at("server-cert.pem"), key, at("server-key.pem")}, more...)
}

// Dial connects to something that is coming up. Nothing tells when it is there but trying.
func (s *Stand) Dial(network, at string) net.Conn {
	s.t.Helper()
	late := time.After(Patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := net.Dial(network, at)
		if err == nil {
			s.t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(Patience))
			return c
		}
		select {
		case <-again.C:
		case <-late:
			s.t.Fatal(err)
		}
	}
}

// Echo answers with what it gets, and ends as its client does, until the test ends. It returns
// where, as NETWORK:ADDRESS.
func (s *Stand) Echo(network, at string) string {
	s.t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		s.t.Fatal(err)
	}
	Serve(s.t, l, func(c net.Conn) {
		if _, err := io.Copy(c, c); err == nil {
			c.(interface{ CloseWrite() error }).CloseWrite()
		}
	})
	return network + ":" + l.Addr().String()
}

// Serve hands over each connection of a listener, and closes it afterwards. The listener is closed
// when the test ends.
func Serve(t *testing.T, l net.Listener, handle func(c net.Conn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}
