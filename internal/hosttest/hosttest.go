// Package hosttest makes what a daemon's tests need of a host: a folder with certificates of a CA
// of the test's and a configuration that names them. It starts nothing.
package hosttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/stream"
)

// Files are a host's.
type Files struct {
	T             *testing.T
	Name, Folder  string
	LibvirtSocket string
}

// NewAuthority is a CA with a key of its own.
func NewAuthority(t *testing.T, name string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Authority{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// New makes a host that has no certificates yet and is not started.
func New(t *testing.T, name string) *Files {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &Files{T: t, Name: name, Folder: dir, LibvirtSocket: filepath.Join(dir, "libvirt-sock")}
}

// Path is that of a file of the host's.
func (h *Files) Path(name string) string { return filepath.Join(h.Folder, name) }

// Put writes a file as careful programs do: beside it, then over it.
func (h *Files) Put(name string, data []byte) {
	h.T.Helper()
	if err := os.WriteFile(h.Path(name+".new"), data, 0o600); err != nil {
		h.T.Fatal(err)
	}
	if err := os.Rename(h.Path(name+".new"), h.Path(name)); err != nil {
		h.T.Fatal(err)
	}
}

// Trust writes the CA file.
func (h *Files) Trust(cas ...*pki.CA) {
	h.T.Helper()
	var pem []byte
	for _, ca := range cas {
		pem = append(pem, ca.CertPEM()...)
	}
	h.Put("ca.pem", pem)
}

// Certify writes a certificate and its key; its name is the host's unless spec has another.
func (h *Files) Certify(ca *pki.CA, spec pki.Host) *pki.Pair {
	h.T.Helper()
	if spec.Names == nil && spec.URIs == nil {
		spec.Names = []string{h.Name}
	}
	pair, err := ca.Issue(spec)
	if err != nil {
		h.T.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		h.T.Fatal(err)
	}
	h.Put("cert.pem", pair.CertPEM())
	h.Put("key.pem", key)
	return pair
}

// Configure makes the host's configuration: top goes before the tables, tables behind
// [certificates].
func (h *Files) Configure(top, tables string) *config.Config {
	h.T.Helper()
	if !strings.Contains(top, "listen = ") {
		top += "\nlisten = '127.0.0.1:0'"
	}
	text := fmt.Sprintf("name = %q\nrun_dir = '%s/run'\nqemu_user = '%d'\nlibvirt_socket = '%s'\n%s\n", h.Name, h.Folder, os.Getuid(), h.LibvirtSocket, top)
	text += fmt.Sprintf("[certificates]\nca = '%[1]s/ca.pem'\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nreload = '-1s'\n%s\n", h.Folder, tables)
	h.Put("sluice.toml", []byte(text))
	cfg, err := config.Load(h.Path("sluice.toml"))
	if err != nil {
		h.T.Fatalf("%s\n%v", text, err)
	}
	return cfg
}

// ClosedPort is an address where nothing listens.
func ClosedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// Eventually waits for what a goroutine of the daemon, or another program,
// will do, and tells no one of.
func Eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !Within(20*time.Second, done) {
		t.Fatalf("%s: not within 20 s", what)
	}
}

// Within looks until done is true, or patience is over.
func Within(patience time.Duration, done func() bool) bool {
	late := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
	return true
}

// Says wants every word in an error.
func Says(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in\n%v", w, err)
		}
	}
}

// HasCode wants a cause with this code.
func HasCode(t *testing.T, err error, code string) {
	t.Helper()
	if c := (*stream.Cause)(nil); !errors.As(err, &c) || c.Code != code {
		t.Errorf("%v: its code is not %q", err, code)
	}
}

// Pair are two hosts that trust one CA and have a certificate of it.
func Pair(t *testing.T, ca *pki.CA) (a, b *Files) {
	t.Helper()
	a, b = New(t, "host-a"), New(t, "host-b")
	for _, h := range []*Files{a, b} {
		h.Trust(ca)
		h.Certify(ca, pki.Host{})
	}
	return a, b
}

// PeerA is host-a as a peer that is not called.
const PeerA = "[peers.host-a]\naddress = '127.0.0.1:1'\n"
