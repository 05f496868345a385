package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// libvirtTLSPort is where libvirtd of a host without a sluice listens, in tests
// that leave sluice's own port free.
const libvirtTLSPort = 16520

// withoutSluice makes a host one whose libvirtd is reached by TLS at that port, as long
// as the test, with a certificate for names.
func (s *site) withoutSluice(h *lab.Host, port int, names ...string) {
	s.t.Helper()
	cert, key := s.certificate(s.ca, h.Name+"-libvirtd", names...)
	s.reconfigureLibvirtd(h, func(conf string) string {
		return fmt.Sprintf("%slisten_tls = 1\nkeepalive_interval = 1\nkeepalive_count = 2\ntls_port = \"%d\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n",
			strings.ReplaceAll(conf, "listen_tls = 0\n", ""), port, s.write("libvirtd-ca.pem", s.ca.CertPEM()), cert, key)
	})
	// It reads what QEMU can do, which would otherwise fall to who asks it first.
	s.virsh(h, "capabilities")
	s.t.Cleanup(func() { // before libvirtd starts anew
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, g := range s.guests {
			s.check(g.Destroy(ctx))
		}
	})
}

// bareTable is a host without a sluice as a peer, with what is allowed.
func bareTable(h *lab.Host, without string) string {
	return fmt.Sprintf("[peers.%s]\nwithout_sluice = %q\nlibvirt_uri = \"qemu+tls://%s:%d/system\"\n", h.Name, without, h.Name, libvirtTLSPort)
}

// clientCertificate gives the host's own libvirt and virsh a certificate for
// qemu+tls, as long as the test.
func (s *site) clientCertificate(h *lab.Host, names ...string) {
	s.t.Helper()
	cert, key := s.certificate(s.ca, h.Name+"-client", names...)
	for path, from := range map[string]string{"/etc/pki/CA/cacert.pem": s.write("client-ca.pem", s.ca.CertPEM()), "/etc/pki/libvirt/clientcert.pem": cert, "/etc/pki/libvirt/private/clientkey.pem": key} {
		content, err := os.ReadFile(from)
		s.check(err)
		s.check(os.MkdirAll(filepath.Dir(h.Path(path)), 0o755))
		s.check(os.WriteFile(h.Path(path), content, 0o600))
		s.t.Cleanup(func() { os.Remove(h.Path(path)) })
	}
}

func TestToHostWithoutSluice(t *testing.T) {
	t.Parallel()
	t.Run("native-tls", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		s.qemuCertificates()
		a := s.start(s.A, conf{peers: bareTable(s.B, "native-tls")})
		g := s.guest(lab.GuestSpec{DisksMiB: []int{16, 5}})
		s.check(g.CreateDisks(s.B))
		var r *control.Result
		link := s.watched(func() { r = a.migrate(g.Name, "--copy-storage-all", "--parallel").want(control.Moved, 0) })
		if n := link.has(g); n > 0 {
			t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
		}
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		s.check(s.CompareDisks(s.ctx, g))
		if r.TLS != "TLS1.3" || r.Carried < uint64(g.Spec.MemoryMiB)<<20 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "has no sluice") {
			t.Errorf("the result is %+v", r)
		}
		e := a.ended()
		if e.Memory != "sluice, with QEMU's own TLS at the other host" || e.Disks != e.Memory || len(e.Channels) < 4 {
			t.Errorf("the session is shown as %+v", e)
		}
		s.nothingLeft()
	})
	t.Run("plain", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		a := s.start(s.A, conf{peers: bareTable(s.B, "plain"), top: "metrics = \"127.0.0.1:16515\"\n"})
		g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
		s.check(g.CreateDisks(s.B))
		var r *control.Result
		link := s.watched(func() { r = a.migrate(g.Name, "--copy-storage-all").want(control.Moved, 0) })
		if n := link.has(g); n < 32 { // else the test before could not fail
			t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
		}
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		s.check(s.CompareDisks(s.ctx, g))
		if r.TLS != "" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "in clear") {
			t.Errorf("the result is %+v", r)
		}
		a.logged(`"level":"warn"`, "memory and disks go in clear", "without_sluice")
		a.metrics(`sluice_plain_migrations_total{direction="out"} 1`, `sluice_plain_migrations_total{direction="in"} 0`)
		if e := a.ended(); e.Memory != "nothing" || e.Disks != "nothing" {
			t.Errorf("the session is shown as %+v", e)
		}
		s.nothingLeft()
	})
	t.Run("at sluice's own port", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, 16514, "host-b")
		s.qemuCertificates()
		a := s.start(s.A, conf{peers: "[peers.host-b]\nwithout_sluice = \"native-tls\"\n"})
		g := s.guest(lab.GuestSpec{Persistent: true})
		a.migrate(g.Name, "--persistent", "--undefinesource").want(control.Moved, 0)
		s.onlyOn(g, s.B)
	})
}

func TestToHostWithoutSluiceRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withoutSluice(s.B, libvirtTLSPort, "host-b")
	g := s.guest(lab.GuestSpec{})
	for _, c := range []struct {
		name, peers string
		args        []string
		words       []string
	}{
		{"not allowed", bareTable(s.B, "no"), nil, []string{"nothing listens at host-b's host-b:16514", "peers.host-b.without_sluice on host-a does not allow it"}},
		{"--tls no", bareTable(s.B, "native-tls"), []string{"--tls", "no"}, []string{"in clear", "require"}},
		{"post-copy", bareTable(s.B, "native-tls"), []string{"--postcopy"}, []string{"post-copy needs a sluice there"}},
		{"no certificate for QEMU there", bareTable(s.B, "native-tls"), nil, []string{"host-b: libvirt, preparing the guest:", "ca-cert.pem, server-cert.pem and server-key.pem in migrate_tls_x509_cert_dir of host-b's qemu.conf"}},
		{"no libvirtd at that address", "[peers.host-b]\nwithout_sluice = \"native-tls\"\n", nil, []string{"host-b has no sluice, and its libvirt can't be used (qemu+tls://host-b/system)", "connection refused", "listen_tls"}},
		{"another host's certificate", "[peers.host-b]\nnames = [\"host-c\"]\nwithout_sluice = \"native-tls\"\nlibvirt_uri = \"qemu+tls://host-b:16520/system\"\n", nil, []string{"its libvirt can't be used", "host-b", "host-c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.start(s.A, conf{peers: c.peers})
			out, errs, status := s.run(s.A, s.command, append([]string{"migrate", g.Name, "host-b"}, c.args...)...)
			if status == 0 {
				t.Fatalf("it moved: %s", out)
			}
			says(t, "sluice migrate", errs, c.words...)
			s.onlyOn(g, s.A)
			a.signal(syscall.SIGTERM)
			a.stopped()
		})
	}
}

// A stock libvirt on a host without a sluice migrates to one that has.
func TestFromHostWithoutSluice(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, without string) (*site, *daemon) {
		s := newSite(t)
		s.clientCertificate(s.A, "host-a")
		return s, s.start(s.B, conf{top: "metrics = \"127.0.0.1:16515\"\n", peers: "[peers.host-a]\nwithout_sluice = \"" + without + "\"\n"})
	}
	migrate := func(s *site, g *lab.Guest, args ...string) (string, int) {
		_, errs, status := s.run(s.A, "virsh", append([]string{"-q", "migrate", "--live", g.Name, "qemu+tls://host-b/system"}, args...)...)
		return errs, status
	}
	for _, how := range []struct {
		name string
		args []string
	}{
		{"peer-to-peer", []string{"--p2p", "--tls"}},
		{"by the client, parallel", []string{"--tls", "--parallel"}},
		{"with disks", []string{"--p2p", "--tls", "--copy-storage-all"}},
		{"to a port", []string{"--p2p", "--tls", "--migrateuri", "tcp:host-b:49199"}},
	} {
		t.Run("native-tls "+how.name, func(t *testing.T) {
			s, b := begin(t, "native-tls")
			s.qemuCertificates()
			spec := lab.GuestSpec{}
			if how.name == "with disks" {
				spec.DisksMiB = []int{16, 5}
			}
			g := s.guest(spec)
			s.check(g.CreateDisks(s.B))
			var errs string
			var status int
			link := s.watched(func() { errs, status = migrate(s, g, how.args...) })
			if status != 0 {
				t.Fatalf("virsh: %s", errs)
			}
			if n := link.has(g); n > 0 {
				t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
			}
			s.check(s.CheckOnlyOn(s.ctx, g, s.B))
			s.check(s.CompareDisks(s.ctx, g))
			e := b.steeredAt(g)
			if e.Outcome != "moved" || e.Memory != "sluice, with QEMU's own TLS at the other host" || e.Received < uint64(g.Spec.MemoryMiB-1)<<20 || e.TLS != "TLS1.3" {
				t.Errorf("the session is shown as %+v", e)
			}
			s.nothingLeft()
		})
	}
	t.Run("plain", func(t *testing.T) {
		s, b := begin(t, "plain")
		g := s.guest(lab.GuestSpec{})
		var errs string
		var status int
		link := s.watched(func() { errs, status = migrate(s, g, "--p2p") })
		if status != 0 {
			t.Fatalf("virsh: %s", errs)
		}
		if n := link.has(g); n < 32 {
			t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
		}
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		b.logged(`"level":"warn"`, "come in clear", "without_sluice")
		b.metrics(`sluice_plain_migrations_total{direction="in"} 1`)
		if e := b.steeredAt(g); e.Outcome != "moved" || e.Memory != "nothing" {
			t.Errorf("the session is shown as %+v", e)
		}
		s.nothingLeft()
	})
	t.Run("refused", func(t *testing.T) {
		s, b := begin(t, "no")
		g := s.guest(lab.GuestSpec{})
		errs, status := migrate(s, g, "--p2p", "--tls")
		if status == 0 {
			t.Fatal("it moved")
		}
		says(t, "virsh", errs, "access denied", "host-a", "comes without its sluice", "peers.host-a.without_sluice on host-b does not allow")
		b.logged("access denied", "without_sluice")
		s.onlyOn(g, s.A)
	})
	t.Run("plain where native-tls is allowed", func(t *testing.T) {
		s, b := begin(t, "native-tls")
		g := s.guest(lab.GuestSpec{})
		for _, args := range [][]string{{"--p2p"}, nil, {"--p2p", "--migrateuri", "tcp:host-b:49200"}} {
			errs, status := migrate(s, g, args...)
			if status == 0 {
				t.Fatal("it moved")
			}
			says(t, "virsh", errs, "host-a has no sluice", "allows QEMU's own TLS alone: add --tls")
		}
		b.logged("migration refused", "in clear")
		s.onlyOn(g, s.A)
	})
	t.Run("QEMU with another host's certificate", func(t *testing.T) {
		s, b := begin(t, "native-tls")
		s.qemuCertificates("host-x")
		g := s.guest(lab.GuestSpec{})
		if errs, status := migrate(s, g, "--p2p", "--tls"); status == 0 {
			t.Fatalf("it moved: %s", errs)
		}
		b.logged("connection refused", "host-x", "does not have a name of host-a")
		says(t, "host-b", b.steeredAt(g).Cause, "host-x", "client-cert.pem")
		s.onlyOn(g, s.A)
	})
	t.Run("no certificate for QEMU there", func(t *testing.T) {
		s, _ := begin(t, "native-tls")
		g := s.guest(lab.GuestSpec{})
		errs, status := migrate(s, g, "--p2p", "--tls")
		if status == 0 {
			t.Fatal("it moved")
		}
		says(t, "virsh", errs, "/etc/pki/qemu/ca-cert.pem", "No such file")
		s.onlyOn(g, s.A)
	})
}

// steeredAt is the daemon's last migration of a guest that libvirt ran.
func (d *daemon) steeredAt(g *lab.Guest) (e control.SessionStatus) {
	d.s.t.Helper()
	d.s.wait("the end of the migration on "+d.host.Name, 30*time.Second, func() bool {
		st := d.status()
		for _, e = range st.Ended {
			if e.Kind == "steered" && e.Guest == g.Name {
				return len(st.Sessions) == 0
			}
		}
		return false
	})
	return e
}
