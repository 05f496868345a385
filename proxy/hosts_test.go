package proxy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A testHost is one daemon on 127.0.0.1, with an echo of libvirt.
type testHost struct {
	*Daemon
	t       *testing.T
	name    string
	dir     string
	libvirt string // socket
	logged  logBuffer

	noLibvirt bool             // there is not even an echo
	clock     func() time.Time // by which it judges peers' certificates; nil is the machine's
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newAuthority(t *testing.T, name string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Authority{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newTestHost makes a host that has no certificates yet and is not started.
func newTestHost(t *testing.T, name string) *testHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &testHost{t: t, name: name, dir: dir, libvirt: filepath.Join(dir, "libvirt-sock")}
}

func (h *testHost) path(name string) string { return filepath.Join(h.dir, name) }

// put writes a file as careful programs do: beside it, then over it.
func (h *testHost) put(name string, data []byte) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name+".new"), data, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(h.path(name+".new"), h.path(name)); err != nil {
		h.t.Fatal(err)
	}
}

// trust writes the CA file.
func (h *testHost) trust(cas ...*pki.CA) {
	h.t.Helper()
	var pem []byte
	for _, ca := range cas {
		pem = append(pem, ca.CertPEM()...)
	}
	h.put("ca.pem", pem)
}

// certify writes a certificate and its key; its name is the host's unless spec has another.
func (h *testHost) certify(ca *pki.CA, spec pki.Host) *pki.Pair {
	h.t.Helper()
	if spec.Names == nil && spec.URIs == nil {
		spec.Names = []string{h.name}
	}
	pair, err := ca.Issue(spec)
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		h.t.Fatal(err)
	}
	h.put("cert.pem", pair.CertPEM())
	h.put("key.pem", key)
	return pair
}

// configure makes the host's configuration: top goes before the tables, tables behind [certificates].
func (h *testHost) configure(top, tables string) *config.Config {
	h.t.Helper()
	if !strings.Contains(top, "listen = ") {
		top += "\nlisten = '127.0.0.1:0'"
	}
	text := fmt.Sprintf("name = %q\nrun_dir = '%s/run'\nqemu_user = '%d'\nlibvirt_socket = '%s'\n%s\n", h.name, h.dir, os.Getuid(), h.libvirt, top)
	text += fmt.Sprintf("[certificates]\nca = '%[1]s/ca.pem'\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nreload = '-1s'\n%s\n", h.dir, tables)
	cfg, err := config.Parse(h.name+".toml", []byte(text))
	if err != nil {
		h.t.Fatalf("%s\n%v", text, err)
	}
	return cfg
}

// start runs the host's daemon, and its echo, until the test's end.
func (h *testHost) start(top, tables string) {
	h.t.Helper()
	h.startWith(h.configure(top, tables))
}

func (h *testHost) startWith(cfg *config.Config) {
	h.t.Helper()
	if !h.noLibvirt {
		h.startEcho()
	}
	d, err := New(Options{Config: cfg, Log: zerolog.New(&h.logged), Version: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Daemon, d.Peers.Clock = d, h.clock
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	h.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			h.t.Errorf("%s: %v", h.name, err)
		}
		if h.t.Failed() {
			h.t.Logf("log of %s:\n%s", h.name, h.logged.String())
		}
	})
	select {
	case <-d.Ready():
	case err := <-ended:
		ended <- err
		h.t.Fatalf("%s: %v", h.name, err)
	}
}

// peerTable is [peers.NAME] for a daemon that runs.
func peerTable(other *testHost, lines string) string {
	return fmt.Sprintf("[peers.%s]\naddress = '%s'\n%s\n", other.name, other.listening(), lines)
}

// ask asks the peer something that it does not know, and returns what it was
// told: nil if it was let in.
func (h *testHost) ask(peer string) error {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	err := h.Opener(h.Peers.All[peer]).Ask(ctx, "nothing", nil, nil)
	if err != nil && strings.Contains(err.Error(), `there is no question "nothing"`) {
		return nil
	}
	if err == nil {
		h.t.Fatal("an unknown question was answered")
	}
	return err
}

// eventually waits for what a goroutine of the daemon, or another program,
// will do, and tells no one of.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !within(20*time.Second, done) {
		t.Fatalf("%s: not within 20 s", what)
	}
}

// within looks until done is true, or patience is over.
func within(patience time.Duration, done func() bool) bool {
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

// says wants every word in an error.
func says(t *testing.T, err error, words ...string) {
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
