package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// ordinary is Debian's user daemon, here in libvirt's group. libvirt wants one of /etc/passwd.
const ordinary = 1

// asOrdinary is a command that runs another as that user, who then owns the site's files.
func (s *site) asOrdinary() []string {
	script := fmt.Sprintf(`chmod a+x %[1]s && chown -R %[2]d %[3]s && install -d -o %[2]d /run/sluice &&
		exec setpriv --reuid %[2]d --regid %[2]d --groups libvirt --bounding-set -all --inh-caps -all -- "$@"`, filepath.Dir(s.dir), ordinary, s.dir)
	return []string{"sh", "-c", script, "sh"}
}

// A sluice that is not root moves guests; what it can't do without capabilities it says.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, h := range s.Hosts() {
		defer s.reconfigureLibvirtd(h, func(conf string) string {
			return strings.Replace(conf, `unix_sock_group = "root"`, "unix_sock_group = \"libvirt\"\nunix_sock_rw_perms = \"0770\"", 1)
		})()
	}
	a, b := s.both(conf{under: s.asOrdinary()})
	for _, d := range []*daemon{a, b} {
		if c := d.status().Confinement; c == nil || c.UID != ordinary || len(c.Capabilities) != 0 {
			t.Errorf("%s is confined to %+v", d.host.Name, c)
		}
		out, _, _ := s.run(d.host, s.command, "check")
		says(t, "sluice check", words(out), fmt.Sprintf("ok confinement uid %d, no capabilities;", ordinary),
			fmt.Sprintf("can't be stopped by uid %d without CAP_KILL", ordinary), "without CAP_SYS_PTRACE, so stock clients' migrations with disks, and intercepted ones, are refused")
	}

	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	moved(a.migrate(g.Name, "--copy-storage-all"), g, a, b)
	s.check(s.CompareDisks(s.ctx, g))

	another := s.guest(lab.GuestSpec{Name: "another"})
	a.virshMigrate(b, another, "--p2p")
	a.logged("can't be stopped while their destination takes them over", "CAP_KILL")

	third := s.guest(lab.GuestSpec{Name: "third", DisksMiB: []int{16}})
	s.check(third.CreateDisks(s.B))
	s.virshMigrates(s.A, third, peerURI, "--copy-storage-all").fails()
	a.logged("CAP_SYS_PTRACE")
	s.check(s.CheckOnlyOn(s.ctx, third, s.A))
	s.nothingLeft()
}
