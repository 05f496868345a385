package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A site is a pair of hosts and a CA, for one test.
type site struct {
	*lab.Lab
	programs
	t       *testing.T
	ctx     context.Context // with the test's deadline
	dir     string          // has the same path on both hosts
	ca      *pki.CA
	daemons []*daemon
	guests  []*lab.Guest
	logged  map[*lab.Host]int // length of libvirtd's log when the test began
}

// testTimeout bounds one test.
const testTimeout = 4 * time.Minute

// newSite gets a test its hosts. It may wait until another test no longer needs them.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteFor(t, testTimeout)
}

// newSiteFor is newSite for a test that takes longer.
func newSiteFor(t *testing.T, timeout time.Duration) *site {
	t.Helper()
	lab.Require(t)
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.NewCA(pki.Authority{Name: "CA of this test"})
	if err != nil {
		t.Fatal(err)
	}
	l := labs.take(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	s := &site{Lab: l, t: t, ctx: ctx, dir: t.TempDir(), ca: ca, programs: p}
	s.logged = make(map[*lab.Host]int)
	for _, h := range s.Hosts() {
		s.logged[h] = len(libvirtdLog(h))
	}
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			s.showLogs()
		}
		if err := s.close(); err != nil {
			t.Errorf("after the test: %v", err)
			if err := l.Down(); err != nil {
				t.Error(err)
			}
			return
		}
		labs.give(l)
	})
	return s
}

// close makes the hosts as new for the next test.
func (s *site) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, d := range s.daemons {
		errs = append(errs, d.kill())
	}
	errs = append(errs, s.RestoreLink(), s.SlowLink(0))
	for _, g := range s.guests {
		errs = append(errs, g.Destroy(ctx))
	}
	for _, h := range s.Hosts() {
		errs = append(errs, os.RemoveAll(h.Path("/run/sluice")), h.RemoveFiles("/var/lib/sluice"), h.WaitClean(ctx))
	}
	return errors.Join(errs...)
}

// showLogs helps to find out why a test failed.
func (s *site) showLogs() {
	for _, d := range s.daemons {
		s.t.Logf("log of %s:\n%s", d.host.Name, tail(d.log(), 12<<10))
	}
	for _, h := range s.Hosts() {
		s.t.Logf("libvirtd's log of %s:\n%s", h.Name, tail(libvirtdLog(h)[s.logged[h]:], 3<<10))
	}
}

func libvirtdLog(h *lab.Host) string {
	raw, _ := os.ReadFile(h.Path("/var/log/libvirt/libvirtd.log"))
	return string(raw)
}

func tail(s string, most int) string {
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}

// guest starts a guest of 64 MiB unless spec says otherwise, on host-a.
func (s *site) guest(spec lab.GuestSpec) *lab.Guest {
	s.t.Helper()
	return s.guestOn(s.A, spec)
}

func (s *site) guestOn(h *lab.Host, spec lab.GuestSpec) *lab.Guest {
	s.t.Helper()
	if spec.Name == "" {
		spec.Name = "g"
	}
	if spec.MemoryMiB == 0 {
		spec.MemoryMiB = 64
	}
	if spec.DirtyMiB == 0 {
		spec.DirtyMiB = 1
	}
	g, err := h.StartGuest(s.ctx, spec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.guests = append(s.guests, g)
	return g
}

// onlyOn checks that the guest runs on h alone, with its memory intact, and
// that nothing else is left on either host, in the daemons included.
func (s *site) onlyOn(g *lab.Guest, h *lab.Host) {
	s.t.Helper()
	s.check(s.CheckOnlyOn(s.ctx, g, h))
	s.nothingLeft()
}

// nothingLeft checks that both hosts have nothing but the test's guests, and
// that the daemons are as idle as they were at first.
func (s *site) nothingLeft() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	for _, h := range s.Hosts() {
		var here []string
		for _, g := range s.guests {
			places, err := s.WhereRuns(ctx, g.Name)
			s.check(err)
			if slices.ContainsFunc(places, func(p lab.Place) bool { return p.Host == h && (len(p.QEMU) > 0 || g.Spec.Persistent) }) {
				here = append(here, g.Name)
			}
		}
		s.check(h.WaitClean(ctx, here...))
	}
	for _, d := range s.daemons {
		if d.alive() {
			d.waitIdle()
		}
	}
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wait asks done again and again until it is true.
func (s *site) wait(what string, most time.Duration, done func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, most)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-ctx.Done():
			s.t.Fatalf("%s: not within %v", what, most)
		}
	}
}

// write makes a file that both hosts see at the path returned.
func (s *site) write(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.check(os.WriteFile(path, content, 0o600))
	return path
}

// certificate issues a certificate for names and writes it with its key.
func (s *site) certificate(ca *pki.CA, file string, names ...string) (cert, key string) {
	s.t.Helper()
	pair, err := ca.Issue(pki.Host{Names: names})
	s.check(err)
	keyPEM, err := pair.KeyPEM()
	s.check(err)
	return s.write(fmt.Sprintf("%s-cert.pem", file), pair.CertPEM()), s.write(fmt.Sprintf("%s-key.pem", file), keyPEM)
}
