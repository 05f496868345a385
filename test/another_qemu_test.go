package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// asQEMU is a command that runs as QEMU's user: as another guest's QEMU that its guest has taken
// over.
func asQEMU(t *testing.T, args ...string) []string {
	t.Helper()
	uid, gid, err := lab.QEMUUser()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", gid), "--clear-groups"}, args...)
}

// At the source another guest's QEMU connects to the ports where libvirt must be given some.
func TestAnotherQEMUConnects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	s.check(s.SlowLink(4 << 20))
	v := a.virshStart(g, "--copy-storage-all")
	v.flows(a, g)
	out, errs, _ := s.run(s.A, "ss", "-tlnH", "src", "127.0.0.1")
	tried := 0
	for line := range strings.Lines(out) {
		_, port, err := net.SplitHostPort(strings.Fields(line)[3])
		s.check(err)
		args := asQEMU(t, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port+"; timeout 5 cat <&3 | wc -c")
		said, complaint, _ := s.run(s.A, args[0], args[1:]...)
		if strings.TrimSpace(said) != "0" {
			t.Errorf("port %s says %s bytes: %s", port, said, complaint)
		}
		tried++
	}
	if tried < 2 {
		t.Fatalf("%d ports: %s%s", tried, out, errs)
	}
	a.logged("connection to QEMU's socket refused", "the guest's QEMU")
	s.check(s.SlowLink(0))
	v.moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	s.check(s.CompareDisks(s.ctx, g))
	a.steered(b, g, "sluice")
	s.nothingLeft()
}

// takeOver makes this test's program a QEMU that puts its own sockets in the place of others'.
const takeOver = "SLUICE_TEST_TAKE_OVER"

// takesOver replaces each memory.sock that QEMU makes, and says how many bytes come by its own.
func takesOver() {
	fmt.Println("watching")
	for {
		table, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			panic(err)
		}
		for line := range bytes.Lines(table) {
			path := string(line[bytes.LastIndexByte(line, ' ')+1 : len(line)-1])
			if filepath.Base(path) != "memory.sock" || !strings.Contains(path, "/sessions/") {
				continue
			}
			if os.Remove(path) != nil {
				continue
			}
			l, err := net.Listen("unix", path)
			if err != nil {
				panic(err)
			}
			os.Chmod(path, 0o777)
			fmt.Println("taken over")
			for {
				c, err := l.Accept()
				if err != nil {
					panic(err)
				}
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, _ := c.Read(make([]byte, 1<<16))
				fmt.Println("bytes:", n)
			}
		}
	}
}

// At the destination another guest's QEMU takes the place of the one that waits.
func TestAnotherQEMUListens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	// QEMU's user cannot enter the folder of the test's own program.
	program, err := os.ReadFile("/proc/self/exe")
	s.check(err)
	s.check(os.WriteFile(s.B.Path("/run/other-qemu"), program, 0o755))
	defer os.Remove(s.B.Path("/run/other-qemu"))
	out, err := os.Create(filepath.Join(s.dir, "other-qemu.out"))
	s.check(err)
	defer out.Close()
	said := func() string {
		text, err := os.ReadFile(out.Name())
		s.check(err)
		return string(text)
	}
	args := asQEMU(t, "env", takeOver+"=1", "/run/other-qemu")
	other := s.B.Command(s.ctx, args[0], args[1:]...)
	other.Stdout, other.Stderr = out, out
	s.check(other.Start())
	defer other.Wait()
	defer other.Process.Kill()
	s.wait("the other QEMU watches", 10*time.Second, func() bool { return strings.Contains(said(), "watching") })
	a.migrate(g.Name).stays(control.Failed, 1, "the guest's QEMU is process")
	s.wait("the other QEMU is cut off", 20*time.Second, func() bool { return strings.Contains(said(), "bytes:") })
	for line := range strings.Lines(said()) {
		if strings.HasPrefix(line, "bytes:") && line != "bytes: 0\n" {
			t.Errorf("the other QEMU has read %s", line)
		}
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
}
