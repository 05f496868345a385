package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// refused checks a migration that must fail before anything of the guest has moved.
func refused(a *daemon, g *lab.Guest, words ...string) {
	a.s.t.Helper()
	r := a.migrate(g.Name).stays(control.Failed, 1, words...)
	if r.Carried != 0 {
		a.s.t.Errorf("%d bytes were carried", r.Carried)
	}
	if cause := a.ended().Cause; cause != r.Cause {
		a.s.t.Errorf("host-a shows the cause\n  %s\nand has told its caller\n  %s", cause, r.Cause)
	}
	a.s.onlyOn(g, a.s.A)
}

// logged waits until the daemon has logged a line that has all the words.
func (d *daemon) logged(words ...string) {
	d.s.t.Helper()
	d.s.wait(fmt.Sprintf("a line of %s's log with %q", d.host.Name, words), 30*time.Second, func() bool {
	lines:
		for line := range strings.Lines(d.log()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	otherCA := func(s *site) *pki.CA {
		ca, err := pki.NewCA(pki.Authority{Name: "another CA"})
		s.check(err)
		return ca
	}
	t.Run("destination's from another CA", func(t *testing.T) {
		s := newSite(t)
		a, b := s.start(s.A, conf{}), s.start(s.B, conf{ca: otherCA(s)})
		refused(a, s.guest(lab.GuestSpec{}), "host-a: ", "host-b", `issued by "CN=another CA"`, "does not come from a CA that this host trusts")
		b.logged("192.0.2.1", "connection refused", "CA")
	})
	t.Run("source's from another CA", func(t *testing.T) {
		s := newSite(t)
		a, b := s.start(s.A, conf{ca: otherCA(s)}), s.start(s.B, conf{})
		refused(a, s.guest(lab.GuestSpec{}), "host-b: ", `issued by "CN=another CA"`, "does not come from a CA that this host trusts")
		b.logged("192.0.2.1", "connection refused", "certificate", "from a CA that this host trusts")
	})
	t.Run("source's name not configured", func(t *testing.T) {
		s := newSite(t)
		a, b := s.start(s.A, conf{}), s.start(s.B, conf{peers: "[peers.host-c]\n"})
		refused(a, s.guest(lab.GuestSpec{}), "host-b: ", "no peer configured on host-b has its name", "host-a", "[peers.NAME]")
		b.logged("192.0.2.1", "connection refused", "no peer configured on host-b has its name", "host-a")
	})
	t.Run("destination's name not configured", func(t *testing.T) {
		s := newSite(t)
		a, b := s.start(s.A, conf{}), s.start(s.B, conf{names: []string{"host-x.example.org"}})
		refused(a, s.guest(lab.GuestSpec{}), "host-a: ", "host-b", "host-x.example.org", "issue it a certificate with the expected name")
		b.logged("192.0.2.1", "connection refused")
	})
}

// stranger listens where a sluice should on host-b and treats every connection
// as it likes. It ends with the test.
func (s *site) stranger(serve func(ctx context.Context, c net.Conn)) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	l, err := s.B.Listen(ctx, "tcp", ":16514")
	s.check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(ctx, c)
			c.Close()
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		l.Close()
		<-done
	})
}

func TestNotSluice(t *testing.T) {
	t.Parallel()
	t.Run("no one", func(t *testing.T) {
		s := newSite(t)
		refused(s.start(s.A, conf{}), s.guest(lab.GuestSpec{}), "host-a: ", "host-b:16514", "nothing listens", "is sluice running there?")
	})
	t.Run("says nothing", func(t *testing.T) {
		s := newSite(t)
		s.stranger(func(ctx context.Context, _ net.Conn) { <-ctx.Done() })
		a := s.start(s.A, conf{limits: "handshake_timeout = \"1s\"\n"})
		refused(a, s.guest(lab.GuestSpec{}), "host-a: ", "host-b", "1s", "limits.handshake_timeout")
	})
	t.Run("closes", func(t *testing.T) {
		s := newSite(t)
		s.stranger(func(context.Context, net.Conn) {})
		refused(s.start(s.A, conf{}), s.guest(lab.GuestSpec{}), "host-a: ", "host-b", "TLS")
	})
	t.Run("speaks something else", func(t *testing.T) {
		s := newSite(t)
		s.stranger(func(_ context.Context, c net.Conn) {
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
			c.SetReadDeadline(time.Now().Add(time.Second))
			for b := make([]byte, 4096); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		})
		refused(s.start(s.A, conf{}), s.guest(lab.GuestSpec{}), "host-a: ", "host-b", "TLS")
	})
	t.Run("TLS without ALPN", func(t *testing.T) {
		s := newSite(t)
		cert, key := s.certificate(s.ca, "stranger", "host-b")
		c := s.B.Command(s.ctx, "openssl", "s_server", "-accept", "16514", "-cert", cert, "-key", key, "-CAfile", s.write("ca.pem", s.ca.CertPEM()), "-Verify", "1", "-quiet")
		said, err := os.Create(s.dir + "/openssl.log")
		s.check(err)
		defer said.Close()
		c.Stdout, c.Stderr = said, said
		s.background(c)
		s.listening(s.B, 16514)
		refused(s.start(s.A, conf{}), s.guest(lab.GuestSpec{}), "host-a: ", "host-b", "something else than sluice is on that port")
	})
}

// TestStrangers connects to sluice's port with what is not a sluice.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{limits: "handshake_timeout = \"1s\"\n"})
	dial := func() net.Conn {
		c, err := s.A.Dial(s.ctx, "tcp", "host-b:16514")
		s.check(err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	closed := func(c net.Conn) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection was not closed")
		}
	}
	t.Run("says nothing", func(t *testing.T) {
		closed(dial())
		b.logged("connection refused", "192.0.2.1", "limits.handshake_timeout")
	})
	t.Run("speaks HTTP", func(t *testing.T) {
		c := dial()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: host-b\r\n\r\n")
		closed(c)
		b.logged("connection refused", "192.0.2.1", "TLS")
	})
	cert, key := s.certificate(s.ca, "stranger", "host-a")
	otherCert, otherKey := s.certificate(s.ca, "other", "host-x")
	client := func(t *testing.T, args ...string) {
		c := s.A.Command(s.ctx, "openssl", append([]string{"s_client", "-connect", "host-b:16514", "-tls1_3", "-quiet"}, args...)...)
		s.background(c)
	}
	t.Run("without a certificate", func(t *testing.T) {
		client(t, "-alpn", "sluice/1")
		b.logged("connection refused", "192.0.2.1", "showed no certificate")
	})
	t.Run("without ALPN", func(t *testing.T) {
		client(t, "-cert", otherCert, "-key", otherKey)
		b.logged("connection refused", "192.0.2.1", "no client configured on host-b")
	})
	t.Run("peer that says nothing", func(t *testing.T) {
		client(t, "-cert", cert, "-key", key, "-alpn", "sluice/1")
		b.logged("channel refused", "host-a", "192.0.2.1")
	})
	s.nothingLeft()
}

func TestNoSuchGuest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	r := a.migrate("nobody").want(control.Failed, 2)
	says(t, "the message", r.Message, `no guest "nobody" on host-a`, "virsh list")
	if st := a.status(); len(st.Sessions)+len(st.Ended) != 0 {
		t.Errorf("it has made a session: %+v", st)
	}
	s.nothingLeft()
}

func TestNoSuchPeer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.start(s.A, conf{peers: "[peers.host-c]\n"})
	g := s.guest(lab.GuestSpec{})
	r := a.migrate(g.Name).want(control.Failed, 2)
	says(t, "the message", r.Message, `no peer is named "host-b"`, "host-a", "host-c")
	s.onlyOn(g, s.A)
}

func TestAlreadyThere(t *testing.T) {
	t.Parallel()
	uuid := regexp.MustCompile(`\s*<uuid>.*</uuid>`)
	for name, c := range map[string]struct {
		xml   func(string) string
		words []string
	}{
		"another of its name": {func(xml string) string { return uuid.ReplaceAllString(xml, "") }, []string{"host-b: ", "already exists", "'g'"}},
		"the guest itself":    {func(xml string) string { return xml }, []string{"host-b: ", "already on host-b"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{})
			g := s.guest(lab.GuestSpec{})
			s.virsh(s.B, "create", s.write("g.xml", []byte(c.xml(s.virsh(s.A, "dumpxml", "--migratable", g.Name)))))
			a.migrate(g.Name).stays(control.Failed, 1, c.words...)
			sameCause(a, b, c.words...)
			for _, h := range s.Hosts() {
				s.check(g.WaitPasses(s.ctx, h, 2))
				s.check(g.CheckMemory(s.ctx, h))
			}
			s.nothingLeft()
		})
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	open := conf{top: "require_secure = false\n"}
	openDefault := conf{top: "require_secure = false\ntls = \"no\"\n"}
	t.Run("both allow it", func(t *testing.T) {
		s := newSite(t)
		a, b := s.both(openDefault)
		g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
		s.check(g.CreateDisks(s.B))
		r := moved(a.migrate(g.Name, "--tls", "no", "--copy-storage-all", "--parallel-connections", "2"), g, a, b)
		if r.Path != "splice" || r.TLS != "" || r.Suite != "" {
			t.Errorf("path %q, TLS %q %q", r.Path, r.TLS, r.Suite)
		}
		for _, d := range []*daemon{a, b} {
			for _, c := range d.ended().Channels {
				if c.Path != "splice" || c.TLS != "" {
					t.Errorf("%s: channel %s goes by path %q, TLS %q", d.host.Name, c.Name, c.Path, c.TLS)
				}
			}
		}
		s.check(s.CompareDisks(s.ctx, g))
		s.nothingLeft()
		// The disks are on both hosts now. What the user asks for counts, not the default.
		if r := moved(b.migrate(g.Name, "--tls", "yes", "--unsafe"), g, b, a); r.TLS == "" {
			t.Error("--tls yes moved the guest in clear")
		}
		s.nothingLeft()
	})
	t.Run("source requires security", func(t *testing.T) {
		s := newSite(t)
		a, b := s.start(s.A, conf{}), s.start(s.B, openDefault)
		g := s.guest(lab.GuestSpec{})
		r := a.migrate(g.Name, "--tls", "no").want(control.Failed, 2)
		says(t, "the message", r.Message, "host-a requires security", "in clear", "require_secure = false")
		if st := b.status(); len(st.Ended) != 0 {
			t.Errorf("host-b has heard of it: %+v", st.Ended)
		}
		s.onlyOn(g, s.A)
	})
	t.Run("destination requires security", func(t *testing.T) {
		s := newSite(t)
		a, _ := s.start(s.A, open), s.start(s.B, conf{})
		g := s.guest(lab.GuestSpec{})
		r := a.migrate(g.Name, "--tls", "no").stays(control.Failed, 1, "host-b: ", "host-a asks for data in clear", "require_secure = false")
		if r.Carried != 0 {
			t.Errorf("%d bytes were carried", r.Carried)
		}
		s.onlyOn(g, s.A)
	})
}
