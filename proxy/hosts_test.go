package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
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

	noLibvirt bool // there is not even an echo
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
	h.Daemon = d
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

// startEcho listens where libvirt would.
func (h *testHost) startEcho() {
	h.t.Helper()
	l, err := net.Listen("unix", h.libvirt)
	if err != nil {
		h.t.Fatal(err)
	}
	var echoing sync.WaitGroup
	echoing.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			echoing.Go(func() {
				defer c.Close()
				for {
					call, err := readPacket(c)
					if err != nil {
						return
					}
					// A REPLY to AUTH_LIST: one way, which is none.
					reply := slices.Concat(call[:12], []byte{0, 0, 0, 1}, call[16:24], []byte{0, 0, 0, 1, 0, 0, 0, 0})
					if _, err := c.Write(packet(reply)); err != nil {
						return
					}
				}
			})
		}
	})
	h.t.Cleanup(func() {
		l.Close()
		echoing.Wait()
	})
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
	err := h.opener(h.peers[peer]).Ask(ctx, "nothing", nil, nil)
	if err != nil && strings.Contains(err.Error(), `there is no question "nothing"`) {
		return nil
	}
	if err == nil {
		h.t.Fatal("an unknown question was answered")
	}
	return err
}

// echo is a connection through h and its peer to the peer's libvirt.
func (h *testHost) echo(peer string) net.Conn {
	h.t.Helper()
	c, err := net.Dial("unix", h.path("run/peers/"+peer+"/libvirt.sock"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// echoes asks libvirt at the other end of c for the ways to authenticate, and
// wants the answer.
func echoes(t *testing.T, c net.Conn, when string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	call := make([]byte, 0, 24)
	for _, word := range []uint32{0x20008086, 1, 66, 0, rand.Uint32() >> 1, 0} { // AUTH_LIST, a CALL, its serial
		call = binary.BigEndian.AppendUint32(call, word)
	}
	if _, err := c.Write(packet(call)); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	reply, err := readPacket(c)
	if err != nil || len(reply) != 32 || string(reply[16:20]) != string(call[16:20]) {
		t.Fatalf("%s: came back %x, %v", when, reply, err)
	}
}

// packet is a message of libvirt's with its length, which counts itself.
func packet(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b)+4)), b...)
}

func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 28 || n > 1<<16 {
		return nil, fmt.Errorf("a packet of %d bytes", n)
	}
	b := make([]byte, n-4)
	_, err := io.ReadFull(r, b)
	return b, err
}

// eventually waits for what a goroutine of the daemon will do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
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
