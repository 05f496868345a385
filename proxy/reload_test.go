package proxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// rewrite changes the host's configuration file, whose text is as Configure made it but for pairs of
// old and new.
func (h *testHost) rewrite(pairs ...string) {
	h.T.Helper()
	text, err := os.ReadFile(h.Path("sluice.toml"))
	if err != nil {
		h.T.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			h.T.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
	}
	h.Put("sluice.toml", []byte(strings.NewReplacer(pairs...).Replace(string(text))))
}

// reloaded has the host's daemon reload by its control socket, as `sluice reload` does.
func (h *testHost) reloaded() *control.Reloaded {
	h.T.Helper()
	r, err := control.New(h.Path("run/control.sock")).Reload(h.T.Context())
	if err != nil {
		h.T.Fatal(err)
	}
	return r
}

// open opens a session for a libvirt client with a peer, and no channel of it.
func (h *testHost) open(peer string) (*stream.Session, error) {
	ctx, cancel := context.WithTimeout(h.T.Context(), 20*time.Second)
	defer cancel()
	now := h.now()
	s, err := now.Opener(now.Peers.All[peer]).Open(ctx, stream.Info{ID: stream.NewID(), Work: session.WorkLibvirt})
	if err == nil {
		h.T.Cleanup(func() { s.Finish(); s.Wait() })
	}
	return s, err
}

// A host is added by a file, and loses access with it; what is under way goes on.
func TestReloadOfPeers(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", "")
	a.start("", peerTable(b, ""))
	hosttest.Says(t, a.ask("host-b"), "no peer configured on host-b has its name")
	file := b.Path("conf.d/host-a.toml")
	if err := os.Mkdir(b.Path("conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.Put("conf.d/host-a.toml", []byte(hosttest.PeerA))
	if st := b.status().Configuration; !st.Differs || st.Refused != nil || len(st.Files) != 1 {
		t.Errorf("before the reload status has %+v", st)
	}
	if r := b.reloaded(); len(r.Added) != 1 || r.Added[0] != "host-a" || len(r.Files) != 2 || len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	if st := b.status(); st.Configuration.Differs || len(st.Configuration.Files) != 2 || len(st.Peers) != 1 || st.Peers[0].Name != "host-a" {
		t.Errorf("%+v", st)
	}
	if err := a.ask("host-b"); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("unix", b.Path("run/peers/host-a/libvirt.sock")); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	old := a.echo("host-b")
	echoes(t, old, "before it is removed")
	half, err := a.open("host-b")
	if err != nil {
		t.Fatal(err)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r := b.reloaded()
	if len(r.Removed) != 1 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "peers.host-a was removed: what is under way there (sessions: 2) goes on") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(b.Path("run/peers/host-a")); err == nil {
		t.Error("the peer's socket is still there")
	}
	hosttest.Says(t, a.ask("host-b"), "no peer configured on host-b has its name")
	_, err = a.open("host-b")
	hosttest.Says(t, err, "no peer configured on host-b has its name")
	echoes(t, old, "after it was removed")
	// The session takes another channel, whose connection is a new one.
	conn, err := half.OpenConn(t.Context(), stream.ChannelLibvirt)
	if err != nil {
		t.Fatalf("a session under way has no channels any more: %v", err)
	}
	conn.Close()

	// Back again, it is a peer of whose sluice this daemon knows.
	b.Put("conf.d/host-a.toml", []byte(hosttest.PeerA))
	b.reloaded()
	if !b.now().Peers.All["host-a"].SluiceSeen.Load() {
		t.Error("a peer that was removed and is back counts as one without a sluice")
	}
}

// A file with a fault changes nothing, is told wherever one looks, and is over once it is mended.
func TestReloadOfABadFile(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	b.start("# top", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	good, err := os.ReadFile(b.Path("sluice.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name, from, to string
		words          []string
	}{
		{"syntax", hosttest.PeerA, "[peers.host-c\n", []string{"sluice.toml:", "stays in use"}},
		{"value", hosttest.PeerA, "[peers.host-c]\naddress = ':'\n", []string{"peers.host-c.address"}},
		{"certificates", "cert.pem", "none.pem", []string{"none.pem"}},
		{"an address that is taken", "# top", "metrics = '" + held.Addr().String() + "'\n", []string{"metrics", "in use"}},
	} {
		b.rewrite(c.from, c.to)
		_, err := control.New(b.Path("run/control.sock")).Reload(t.Context())
		hosttest.Says(t, err, c.words...)
		if err := a.ask("host-b"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		st := b.status()
		if !st.Configuration.Differs || st.Configuration.Refused == nil || !strings.Contains(st.Configuration.Refused.Error, c.words[0]) || len(st.Peers) != 1 || st.Peers[0].Name != "host-a" {
			t.Errorf("%s: status has %+v", c.name, st.Configuration)
		}
		if s := b.Summary(); !strings.Contains(s, "peers: 1; the last reload failed at ") {
			t.Errorf("%s: systemd shows %q", c.name, s)
		}
		if n := b.failures.Load(); n != uint64(i+1) {
			t.Errorf("%s: %d failures", c.name, n)
		}
		// As it was, it needs no reload to be right again.
		b.Put("sluice.toml", good)
		if st := b.status().Configuration; st.Differs || st.Refused != nil {
			t.Errorf("%s: mended, and status has %+v", c.name, st)
		}
		b.reloaded()
		if s := b.Summary(); s != "migrations under way: 0, peers: 1" {
			t.Errorf("%s: mended, and systemd shows %q", c.name, s)
		}
	}
}

// Certificates that are not good where they were leave the configuration as it was, too.
func TestReloadOfBadCertificates(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", "# peers")
	a.start("", peerTable(b, ""))
	good, err := os.ReadFile(b.Path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	b.Put("cert.pem", good[:len(good)/2])
	b.rewrite("# peers", hosttest.PeerA)
	_, err = b.Reload()
	hosttest.Says(t, err, "cert.pem", "the one before stays in use")
	if st := b.status(); !st.Configuration.Differs || st.Configuration.Refused == nil || len(st.Peers) != 0 {
		t.Errorf("%+v", st.Configuration)
	}
	hosttest.Says(t, a.ask("host-b"), "no peer configured on host-b has its name")
	b.Put("cert.pem", good)
	b.reloaded()
	if err := a.ask("host-b"); err != nil {
		t.Error(err)
	}
}

// Limits take effect at once, and what can't change is named, each time until it is as it was.
func TestReloadOfLimits(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA+"[limits]\nsessions = 5\n")
	a.start("", peerTable(b, ""))
	c := a.echo("host-b")
	echoes(t, c, "at first")
	b.rewrite("sessions = 5", "sessions = 1\ntotal_bandwidth = 1", "name = \"host-b\"", "name = 'another'")
	if r := b.reloaded(); fmt.Sprint(r.Restart) != "[name]" || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "systemctl restart sluice") {
		t.Errorf("%+v", r)
	}
	_, err := a.open("host-b")
	hosttest.Says(t, err, "session limit of this host reached (1, limits.sessions)")
	if st := b.status(); st.Name != "host-b" || fmt.Sprint(st.Configuration.Restart) != "[name]" || st.Configuration.Differs {
		t.Errorf("%+v", st.Configuration)
	}
	if s := b.Summary(); !strings.Contains(s, "a restart is needed for name") {
		t.Errorf("systemd shows %q", s)
	}
	echoes(t, c, "under a limit")
	b.rewrite("sessions = 1", "sessions = 2", "name = 'another'", "name = \"host-b\"")
	if r := b.reloaded(); len(r.Restart) != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := a.open("host-b"); err != nil {
		t.Error(err)
	}
}

// Certificates of another place, and metrics at another address.
func TestReloadOfPlaces(t *testing.T) {
	ca, other := hosttest.NewAuthority(t, "CA"), hosttest.NewAuthority(t, "other")
	a, b := pairOfHosts(t, ca)
	b.start("metrics = '127.0.0.1:0'", hosttest.PeerA)
	a.start("", peerTable(b, ""))
	store := newTestHost(t, "host-b") // only its folder
	store.Trust(ca, other)
	store.Certify(other, pki.Host{})
	first := *b.metricsAddr.Load()
	b.rewrite(b.Folder+"/ca.pem", store.Folder+"/ca.pem", b.Folder+"/cert.pem", store.Folder+"/cert.pem", b.Folder+"/key.pem", store.Folder+"/key.pem",
		"metrics = '127.0.0.1:0'", "metrics = 'localhost:0'")
	b.reloaded()
	hosttest.Says(t, a.ask("host-b"), "does not come from a CA")
	if st := b.status().Certificates; st.Files[0] != store.Path("ca.pem") {
		t.Errorf("%+v", st)
	}
	if at := *b.metricsAddr.Load(); at == first {
		t.Errorf("metrics are still at %s", at)
	}
	if c, err := net.Dial("tcp", first); err == nil {
		c.Close()
		t.Errorf("something listens at %s", first)
	}
	// The new ones are followed.
	renewed := store.Certify(ca, pki.Host{})
	hosttest.Eventually(t, "the renewed certificate", func() bool { return b.now().Peers.Certs.Current().Leaf.Equal(renewed.Cert) })
	if err := a.ask("host-b"); err != nil {
		t.Error(err)
	}
}

// Reload after reload, while peers, clients and users come: whoever is in every configuration is
// never refused, and whoever is in some is refused in words.
func TestReloadUnderLoad(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	c := newTestHost(t, "host-c")
	c.Trust(ca)
	c.Certify(ca, pki.Host{})
	b.start("metrics = '127.0.0.1:0'", hosttest.PeerA+"[limits]\nsessions = 50\npeer_memory = 64\n")
	a.start("", peerTable(b, ""))
	c.start("", peerTable(b, ""))
	one, err := os.ReadFile(b.Path("sluice.toml"))
	if err != nil {
		t.Fatal(err)
	}
	two := strings.NewReplacer("sessions = 50", "sessions = 40\nhandshake_timeout = '9s'\ntotal_bandwidth = 100", "peer_memory = 64", "peer_memory = 33").Replace(string(one)) +
		"[peers.host-c]\naddress = '127.0.0.1:1'\naccess = 'read-only'\n"
	old := a.echo("host-b")
	stop := make(chan struct{})
	var work sync.WaitGroup
	again := func(do func()) {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		})
	}
	again(func() {
		if err := a.ask("host-b"); err != nil {
			t.Errorf("host-a is refused: %v", err)
		}
	})
	again(func() {
		s, err := a.open("host-b")
		if err != nil {
			t.Errorf("host-a has no session: %v", err)
			return
		}
		conn, err := s.OpenConn(t.Context(), stream.ChannelLibvirt)
		if err != nil {
			t.Errorf("host-a has no channel: %v", err)
			return
		}
		conn.Close()
		s.Finish()
		s.Wait()
	})
	refused, let := 0, 0
	again(func() {
		if err := c.ask("host-b"); err == nil {
			let++
		} else if refused++; !strings.Contains(err.Error(), "no peer configured on host-b has its name") {
			t.Errorf("host-c is refused: %v", err)
		}
	})
	again(func() {
		st, err := control.New(b.Path("run/control.sock")).Status(t.Context())
		if err != nil {
			t.Error(err)
		} else if has := len(st.Peers) == 2; has != (st.Peers[len(st.Peers)-1].Name == "host-c") {
			t.Errorf("%+v", st.Peers)
		}
	})
	again(func() { b.scrape() })
	reloads := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) || reloads < 20; reloads++ {
		text := one
		if reloads%2 == 0 {
			text = []byte(two)
		}
		b.Put("sluice.toml", text)
		b.reloaded()
		echoes(t, old, "between reloads")
	}
	close(stop)
	work.Wait()
	if refused == 0 || let == 0 {
		t.Errorf("in %d reloads host-c was let in %d times and refused %d times", reloads, let, refused)
	}
	if n := len(b.now().Peers.All); n != 1 && n != 2 {
		t.Errorf("%d peers", n)
	}
}
