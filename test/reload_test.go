package test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// loaded waits until the daemon uses the certificate files as they are.
func (d *daemon) loaded(since time.Time) {
	d.s.t.Helper()
	d.s.wait("new certificates on "+d.host.Name, 20*time.Second, func() bool { return d.status().Certificates.Loaded.After(since) })
}

// Certificates are renewed, then spoilt, on both hosts while a guest moves: it
// does not notice. SIGHUP neither drains nor ends anything.
func TestReloadDuringMigration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	m := a.migrate(g.Name, "--bandwidth", "16")
	m.halfway()
	for _, d := range []*daemon{a, b} {
		now := time.Now()
		s.certificate(s.ca, d.host.Name, d.host.Name)
		d.signal(syscall.SIGHUP)
		d.loaded(now)
		s.write(d.host.Name+"-cert.pem", []byte("spoilt"))
		d.signal(syscall.SIGHUP)
		d.logged("reload failed", "holds no certificate")
		if errs := d.status().Certificates.ReloadErrors; len(errs) != 1 || !strings.Contains(errs[0].Error, "holds no certificate") {
			t.Errorf("status of %s has %+v", d.host.Name, errs)
		}
	}
	if !m.running() {
		t.Fatal("the migration was over before it was tried")
	}
	if a.status().Draining || b.status().Draining {
		t.Error("SIGHUP drains")
	}
	says(t, "the message", m.want(control.Moved, 0).Message, "runs on host-b")
	s.onlyOn(g, s.B)
}

// The destination's policy holds, on the fast paths too, where the source's
// would have come to something else.
func TestMigrationUnderAPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.start(s.A, conf{}), s.start(s.B, conf{top: "priority = \"NORMAL:-AES-128-GCM:-CHACHA20-POLY1305\"\n"})
	g := s.guest(lab.GuestSpec{})
	r := a.migrate(g.Name).want(control.Moved, 0)
	if r.TLS != "TLS1.3" || r.Suite != "TLS_AES_256_GCM_SHA384" || r.Path != "records" && r.Path != "ktls" {
		t.Errorf("it came to %s with %s on the path %s", r.TLS, r.Suite, r.Path)
	}
	if p := b.status().Priority; p != "NORMAL:-AES-128-GCM:-CHACHA20-POLY1305" {
		t.Errorf("status shows the priority %q", p)
	}
	s.onlyOn(g, s.B)
}
