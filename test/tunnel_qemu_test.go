package test

import (
	"fmt"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// The TLS versions that both QEMU's GnuTLS and sluice speak, as priorities.
var versions = map[string]string{
	"TLS1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3",
	"TLS1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2",
}

const anyPort = "127.0.0.1:0"

// migrateTLS are the parameters by which QEMU does TLS itself.
func (m *machine) migrateTLS(hostname string) {
	m.do("migrate-set-parameters", map[string]any{"tls-creds": "tls0", "tls-hostname": hostname})
}

func (m *machine) migrate(uri string) { m.do("migrate", map[string]any{"uri": uri}) }

// A source with tls-creds, a destination in clear: sluice ends QEMU's TLS.
func TestQEMUSourceWithTLS(t *testing.T) {
	for version, priority := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			in := s.Path("in.sock")
			b := s.machine("host-b.vm", false, "-incoming", "unix:"+in)
			clear := s.tap("unix", s.Path("clear.sock"), in)
			p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--close-notify", "optional", "--to", "unix:"+clear.at)
			wire := s.tap("tcp", anyPort, at)

			a := s.machine("host-a.vm", true, s.creds("host-a", "client", priority)...)
			a.migrateTLS("host-b")
			a.migrate("tcp:" + wire.at)
			if status, words := a.migrated(); status != "completed" {
				t.Fatalf("%s: %s", status, words)
			}
			b.same(a)
			wire.saw(t, "the way between hosts", false)
			clear.saw(t, "the destination's socket", true)
			p.Await("connection ended", `"tls":"`+version+`"`, "DNS:host-a")
		})
	}
}

// QEMU sends no close_notify, and may close its socket with sluice's unread, which
// resets the connection. Where close_notify is required the guest arrives, and the
// tunnel tells that it cannot say whether all of the stream did.
func TestQEMUSendsNoCloseNotify(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	in := s.Path("in.sock")
	b := s.machine("host-b.vm", false, "-incoming", "unix:"+in)
	p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", "host-a", "--to", "unix:"+in)
	a := s.machine("host-a.vm", true, s.creds("host-a", "client", "NORMAL")...)
	a.migrateTLS("host-b")
	a.migrate("tcp:" + at)
	if status, words := a.migrated(); status != "completed" {
		t.Fatalf("%s: %s", status, words)
	}
	b.same(a)
	a.do("quit", nil)
	p.Await("connection failed", "the client")
}

// A source in clear, a destination with tls-creds: sluice begins the TLS, and
// both sides show their certificates.
func TestQEMUDestinationWithTLS(t *testing.T) {
	for version, priority := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			b, to := s.incomingTLS(priority)
			wire := s.tap("tcp", anyPort, to)
			p, out := s.Tunnel("host-a", "--listen", "unix:"+s.Path("out.sock"), "--to", "tls:"+wire.at, "--tls-name", "host-b", "--close-notify", "optional")
			clear := s.tap("unix", s.Path("clear.sock"), out)

			a := s.machine("host-a.vm", true)
			a.migrate("unix:" + clear.at)
			if status, words := a.migrated(); status != "completed" {
				t.Fatalf("%s: %s", status, words)
			}
			b.same(a)
			clear.saw(t, "the source's socket", true)
			wire.saw(t, "the way between hosts", false)
			p.Await("connection ended", `"tls":"`+version+`"`)
		})
	}
}

// incomingTLS is a destination with TLS of its own, and where it listens.
func (s *tunnelStand) incomingTLS(priority string) (*machine, string) {
	s.t.Helper()
	b := s.machine("host-b.vm", false, append(s.creds("host-b", "server", priority), "-incoming", "defer")...)
	b.migrateTLS("")
	at := fmt.Sprintf("127.0.0.1:%d", needs.Port(s.t))
	b.do("migrate-incoming", map[string]any{"uri": "tcp:" + at})
	return b, at
}

// incomingClear is a destination without TLS.
func (s *tunnelStand) incomingClear() string {
	s.t.Helper()
	at := fmt.Sprintf("127.0.0.1:%d", needs.Port(s.t))
	s.machine("host-b.vm", false, "-incoming", "tcp:"+at)
	return at
}
