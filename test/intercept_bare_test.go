package test

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
)

// bareQEMU is a QEMU that libvirt knows nothing of, with its monitor.
type bareQEMU struct {
	s     *site
	stdin io.Writer

	mu   sync.Mutex
	said strings.Builder
}

func (q *bareQEMU) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.said.Write(p)
}

func (s *site) bareQEMU(h *lab.Host, args ...string) *bareQEMU {
	s.t.Helper()
	q := &bareQEMU{s: s}
	cmd := h.Command(s.ctx, "qemu-system-x86_64", append([]string{"-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none", "-monitor", "stdio"}, args...)...)
	cmd.Stdout, cmd.Stderr = q, q
	var err error
	q.stdin, err = cmd.StdinPipe()
	s.check(err)
	s.check(cmd.Start())
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return q
}

// says gives QEMU an order until it says the words.
func (q *bareQEMU) says(order, words string) {
	q.s.t.Helper()
	q.s.wait(fmt.Sprintf("QEMU says %q to %q", words, order), time.Minute, func() bool {
		fmt.Fprintln(q.stdin, order)
		q.mu.Lock()
		defer q.mu.Unlock()
		return strings.Contains(q.said.String(), words)
	})
}

// QEMU without libvirt, at ports of its own, as Proxmox VE starts it (docs/guides.md): its connection
// is redirected, and nothing of it goes in clear.
func TestInterceptedWithoutLibvirt(t *testing.T) {
	t.Parallel()
	needs.Program(t, "nft")
	s := newSite(t)
	c := s.interceptConf()
	c.top += "qemu_user = \"root\"\n"
	c.peers += "ports = \"60000-60050\"\n"
	a, b := s.both(c)
	for _, d := range []*daemon{a, b} {
		d.intercept("up")
		t.Cleanup(func() { d.intercept("down") })
	}
	// Memory that fits in no socket's buffer, as every guest's: else QEMU may have closed its connection
	// before sluice asks whose it is.
	memory := filepath.Join(t.TempDir(), "memory")
	noise := make([]byte, 32<<20)
	rand.Read(noise)
	s.check(os.WriteFile(memory, noise, 0o644))
	there := s.bareQEMU(s.B, "-incoming", "tcp:"+s.B.Addr+":60000")
	s.listening(s.B, 60000)
	here := s.bareQEMU(s.A, "-device", "loader,file="+memory+",addr=0x1000000,force-raw=on")
	here.says("info status", "VM status: running")
	w := s.watched(func() {
		fmt.Fprintln(here.stdin, "migrate -d tcp:"+s.B.Addr+":60000")
		here.says("info migrate", "Migration status: completed")
	})
	there.says("info status", "VM status: running")
	if n := a.carried(b); n != 1 {
		t.Errorf("%d connections were carried", n)
	}
	for _, p := range w.packets {
		if len(p.Payload) > 0 && (p.To == 60000 || p.From == 60000) {
			t.Fatalf("%d bytes went by QEMU's own port", len(p.Payload))
		}
	}
}
