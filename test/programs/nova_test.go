package programs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/session"
)

const (
	novaSocket = "live_migration_uri = qemu+unix:///system?socket=/run/sluice/peers/%s/libvirt.sock\n"
	novaTLS    = "live_migration_scheme = tls\n"
)

// nova are the cases of Nova's libvirt driver.
var nova = []testCase{
	compute("`scheme=tls`", session.BySluice, lab.GuestSpec{}, novaTLS, "memory"),
	compute("`scheme=tls`, `inbound_addr`", session.BySluice, lab.GuestSpec{}, novaTLS, "inbound=192.0.2.2"),
	compute("`scheme=tls`, block migration", session.BySluice, lab.GuestSpec{DisksMiB: []int{8}}, novaTLS, "disks"),
	compute("`scheme=tls`, `permit_post_copy`, forced", session.BySluice, lab.GuestSpec{}, novaTLS+"live_migration_permit_post_copy = true\nlive_migration_bandwidth = 8\n", "force"),
	compute("`scheme=tls`, `permit_auto_converge`", session.BySluice, lab.GuestSpec{}, novaTLS+"live_migration_permit_auto_converge = true\n", "memory"),
	alone(compute("`scheme=tls`, `with_native_tls`", session.ByQEMUThere, lab.GuestSpec{}, novaTLS+"live_migration_with_native_tls = true\n", "memory")),
	alone(compute("`scheme=tls`, `tunnelled`", session.ByTunnel, lab.GuestSpec{}, novaTLS+"live_migration_tunnelled = true\n", "memory")),
	compute("`uri` of the peer's socket, block migration", session.BySluice, lab.GuestSpec{DisksMiB: []int{8}}, novaSocket, "disks"),
	compute("`uri` of the peer's socket, `inbound_addr`", session.BySluice, lab.GuestSpec{}, novaSocket, "inbound=192.0.2.2"),
	compute("`uri` of the peer's socket, `with_native_tls`", session.ByQEMU, lab.GuestSpec{}, novaSocket+"live_migration_with_native_tls = true\n", "memory"),
	aborted("`scheme=tls`, aborted", novaTLS+"live_migration_bandwidth = 4\n"),
}

func compute(settings, by string, guest lab.GuestSpec, conf, how string) testCase {
	guest.Persistent = true
	return testCase{program: "OpenStack Nova", pkg: "python3-nova", settings: settings, by: by, guest: guest, move: func(s *stage) {
		if out, err := s.nova(conf, how); err != nil || !strings.Contains(out, "moved progress ") {
			s.t.Fatalf("%v\n%s", err, out)
		}
	}}
}

// aborted is a migration that a user ends: the guest stays, by Nova's own word too.
func aborted(settings, conf string) testCase {
	c := compute(settings, "", lab.GuestSpec{}, conf, "abort")
	c.stays = true
	c.move = func(s *stage) {
		out, err := s.nova(conf, "abort")
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 || !strings.Contains(out, "stays progress ") {
			s.t.Fatalf("%v\n%s", err, out)
		}
	}
	return c
}

// nova runs the driver on host-a, with these lines in [libvirt].
func (s *stage) nova(conf, how string) (string, error) {
	s.t.Helper()
	script, err := filepath.Abs("nova_driver.py")
	s.check(err)
	const folder = "/run/nova"
	s.check(os.MkdirAll(s.Lab.A.Path(folder), 0o755))
	s.check(os.WriteFile(s.Lab.A.Path(folder+"/nova.conf"), []byte("[DEFAULT]\nstate_path = "+folder+"\nhost = host-a\ndebug = true\n[libvirt]\nvirt_type = qemu\n"+conf), 0o644))
	out, err := s.program(s.Lab.A, nil, "/usr/bin/python3", script, folder+"/nova.conf", s.guest.Name, how).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}
