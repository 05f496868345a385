package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

var buildUnit = sync.OnceValues(func() (string, error) {
	p, err := build()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(p.command), "unit")
	c := exec.Command("go", "build", "-o", path, "./unit")
	c.Stderr = os.Stderr
	return path, c.Run()
})

// asUnit is a command that runs another with the rights that systemd units leave.
func asUnit(t *testing.T, units ...string) []string {
	t.Helper()
	unit, err := buildUnit()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{unit}
	for _, u := range units {
		path, err := filepath.Abs("../internal/packaging/systemd/" + u)
		if err != nil {
			t.Fatal(err)
		}
		command = append(command, path)
	}
	return append(command, "--")
}

// observerUnit has systemd's part in starting observers done on a host.
func (s *site) observerUnit(h *lab.Host) {
	s.t.Helper()
	const socket = "/run/sluice-observer.sock"
	args := append([]string{"--accept", "--inetd", "--seqpacket", "--listen=" + socket}, asUnit(s.t, "sluice-observer@.service")...)
	c := h.Command(s.ctx, "systemd-socket-activate", append(args, s.command, "observe")...)
	s.check(c.Start())
	s.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		os.Remove(h.Path(socket))
	})
	s.wait("the observer's socket", 10*time.Second, func() bool {
		_, err := os.Stat(h.Path(socket))
		return err == nil
	})
}

// words are what a table says, without its columns.
func words(table string) string { return strings.Join(strings.Fields(table), " ") }

// The units allow all that migrations take: by sluice's command, whose disks go by sockets, and by
// a client's, whose disks go by ports, where it matters which process has a socket.
func TestAsUnits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, h := range s.Hosts() {
		s.observerUnit(h)
	}
	a, b := s.both(conf{under: asUnit(t, "sluice.service")})
	for _, d := range []*daemon{a, b} {
		c := d.status().Confinement
		if c == nil || len(c.Capabilities) != 1 || c.Capabilities[0] != "cap_kill" || !c.ObserverUnit || c.Dumps || c.Landlock == 0 && c.LandlockError == "" {
			t.Errorf("%s is confined to %+v", d.host.Name, c)
		}
		out, _, _ := s.run(d.host, s.command, "check")
		says(t, "sluice check", words(out), "ok confinement uid 0, cap_kill;", "ok observer it can be told which of QEMU's processes has a socket (sluice-observer.socket)",
			"ok fence a guest's QEMU can be stopped")
	}
	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	a.virshMigrate(b, g, "--copy-storage-all")
	s.check(s.CompareDisks(s.ctx, g))

	another := s.guest(lab.GuestSpec{Name: "another", DisksMiB: []int{16}})
	s.check(another.CreateDisks(s.B))
	moved(a.migrate(another.Name, "--copy-storage-all"), another, a, b)
	a.logged("the guest is held here", `"fenced":true`)
	s.nothingLeft()
}
