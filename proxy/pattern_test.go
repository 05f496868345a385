package proxy

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// domain are two hosts of example.org that know each other by a pattern, in which more says what
// else is: kvm1 at 127.0.0.11 and kvm2 at 127.0.0.12.
func domain(t *testing.T, ca *pki.CA, more string) (a, b *testHost, names *hosttest.Names, table string) {
	t.Helper()
	names = new(hosttest.Names)
	names.Instead(t)
	for i, h := range []**testHost{&a, &b} {
		name := fmt.Sprintf("kvm%d.example.org", i+1)
		names.Says(name, fmt.Sprintf("127.0.0.%d", 11+i))
		*h = newTestHost(t, name)
		(*h).Trust(ca)
		(*h).Certify(ca, pki.Host{})
	}
	a.start("listen = '127.0.0.11:0'", "# peers")
	_, port, err := net.SplitHostPort(a.listening())
	if err != nil {
		t.Fatal(err)
	}
	table = fmt.Sprintf("[peers.'*.example.org']\naddress = ':%s'\n%s\n", port, more)
	b.start("listen = '127.0.0.12:"+port+"'", table)
	a.rewrite("# peers", table)
	if r := a.reloaded(); !slices.Contains(r.Added, "*.example.org") {
		t.Errorf("the reload has added %q", r.Added)
	}
	return a, b, names, table
}

// asks is ask of a host by whatever it is called.
func (h *testHost) asks(name string) error {
	h.T.Helper()
	p := h.now().Peers.Called(name)
	if p == nil {
		return fmt.Errorf("%s is no peer", name)
	}
	err := h.now().Opener(p).Ask(h.T.Context(), "", "nothing", nil, nil)
	if err != nil && strings.Contains(err.Error(), `there is no question "nothing"`) {
		return nil
	}
	return err
}

// ofPatterns is what the host's check of itself says of them.
func (h *testHost) ofPatterns() control.Finding {
	h.T.Helper()
	report, err := h.check(h.T.Context(), new(control.CheckRequest))
	if err != nil {
		h.T.Fatal(err)
	}
	i := slices.IndexFunc(report.Findings, func(f control.Finding) bool { return f.Check == "patterns" })
	if i < 0 {
		h.T.Fatalf("nothing is said of patterns: %+v", report.Findings)
	}
	return report.Findings[i]
}

func (h *testHost) peers() (names []string) {
	for _, p := range h.status().Peers {
		names = append(names, p.Name)
	}
	return names
}

// meets waits until the host has a socket for a peer.
func (h *testHost) meets(name string) {
	h.T.Helper()
	hosttest.Eventually(h.T, h.Name+" has a socket of "+name, func() bool {
		_, err := os.Stat(h.Path("run/peers/" + name + "/libvirt.sock"))
		return err == nil
	})
}

func TestPeersByPattern(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b, names, table := domain(t, ca, "")
	if got := a.peers(); len(got) != 0 || !slices.Equal(a.status().Patterns, []string{"*.example.org"}) {
		t.Errorf("at first %s has the peers %q", a.Name, got)
	}
	if err := a.asks("KVM2.example.org."); err != nil {
		t.Fatal(err)
	}
	a.meets("kvm2.example.org")
	b.meets("kvm1.example.org")
	conn := a.echo("kvm2.example.org")
	echoes(t, conn, "by a host's new socket")
	for h, want := range map[*testHost]string{a: "kvm2.example.org", b: "kvm1.example.org"} {
		if got := h.peers(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s has the peers %q", h.Name, got)
		}
	}

	// Names say nothing of who is there.
	for _, c := range []struct {
		name  string
		words []string
	}{
		{"kvm2", []string{"is no peer"}},
		{"a.kvm2.example.org", []string{"is no peer"}},
		{"*.example.org", []string{"is no peer"}},
		{"kvm4.example.org", []string{"kvm4.example.org does not resolve", `[peers."kvm4.example.org"]`}},
		{"kvm3.example.org", []string{"no TLS with kvm3.example.org", "kvm2.example.org"}},
	} {
		names.Says("kvm3.example.org", "127.0.0.12")
		hosttest.Says(t, a.asks(c.name), c.words...)
	}
	if got := a.peers(); !slices.Equal(got, []string{"kvm2.example.org"}) {
		t.Errorf("who was not there is a peer: %q", got)
	}

	// Without the pattern nothing begins, and what has begun goes on.
	half, err := a.now().Opener(a.now().Peers.Called("kvm2.example.org")).Open(t.Context(), stream.Info{ID: stream.NewID(), Work: "libvirt"})
	if err != nil {
		t.Fatal(err)
	}
	b.rewrite(table, "# none")
	r := b.reloaded()
	if !slices.Equal(r.Removed, []string{"*.example.org"}) || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "peers.kvm1.example.org was removed: what is under way there (sessions: 2) goes on") {
		t.Errorf("%+v", r)
	}
	hosttest.Says(t, a.asks("kvm2.example.org"), "no peer configured on kvm2.example.org has its name (DNS:kvm1.example.org")
	if _, err := os.Stat(b.Path("run/peers/kvm1.example.org")); err == nil {
		t.Error("its socket is still there")
	}
	echoes(t, conn, "after the pattern was removed")
	channel, err := half.OpenConn(t.Context(), stream.ChannelLibvirt)
	if err != nil {
		t.Fatalf("a session under way has no channels any more: %v", err)
	}
	channel.Close()
	half.Finish()
	half.Wait()

	// A table of the host's own takes its place, and gives it back.
	listed := "[peers.'kvm1.example.org']\naccess = 'read-only'\n"
	b.rewrite("# none", table+listed)
	b.reloaded()
	if err := a.asks("kvm2.example.org"); err != nil {
		t.Error(err)
	}
	if p := b.now().Peers.Get("kvm1.example.org"); p.Access() != config.AccessReadOnly || p.Found {
		t.Errorf("the host's own table does not count: %+v", p.Conf)
	}
	taken := b.now().Peers.Get("kvm1.example.org").Taken
	b.rewrite(listed, "")
	b.reloaded()
	if p := b.now().Peers.Get("kvm1.example.org"); p.Access() != config.AccessMigrate || !p.Found || p.Taken != taken {
		t.Errorf("the pattern does not count again, or what the host has taken is forgotten: %+v", p.Conf)
	}
	b.meets("kvm1.example.org")
}

// One certificate is one peer, whoever looks at it, and nobody's choice.
func TestCertificatesOfPatterns(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b, names, table := domain(t, ca, "")
	odd := "[peers.odd]\nnames = ['odd.example.org']\naddress = 'kvm9.example.org:1'\naccess = 'read-only'\n"
	for _, h := range []*testHost{a, b} {
		h.rewrite(table, table+odd)
		h.reloaded()
	}
	for _, c := range []struct {
		name   string
		names  []string
		as     string // whom b knows a by
		denied []string
	}{
		{"two hosts", []string{"kvm1.example.org", "kvm8.example.org"}, "", []string{"kvm2.example.org can't tell which host it is of", "2 names"}},
		{"a wildcard", []string{"*.example.org"}, "", []string{"*.example.org, which any host could have"}},
		{"a wildcard too", []string{"kvm1.example.org", "*.example.net"}, "", []string{"any host could have"}},
		{"another domain", []string{"kvm1.example.net"}, "", []string{"no peer configured on kvm2.example.org has its name"}},
		{"deeper", []string{"kvm1.a.example.org"}, "", []string{"no peer configured"}},
		{"a peer's address", []string{"kvm9.example.org"}, "", []string{"stands for the peer odd on kvm2.example.org", "peers.odd.names"}},
		{"listed", []string{"kvm1.example.org", "odd.example.org"}, "odd", nil},
		{"another name", []string{"KVM8.example.org", "kvm8"}, "kvm8.example.org", nil},
		{"its own", []string{"kvm1.example.org", "kvm1"}, "kvm1.example.org", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.Certify(ca, pki.Host{Names: c.names})
			a.reloaded()
			err := a.asks("kvm2.example.org")
			if c.denied != nil {
				hosttest.Says(t, err, c.denied...)
			} else if err != nil {
				t.Error(err)
			}
			// The other way it is the same.
			for _, name := range c.names {
				name = config.HostKey(name)
				names.Says(name, "127.0.0.11")
				switch err := b.asks(name); {
				case name == c.as && err != nil:
					t.Errorf("asked as %s: %v", name, err)
				case name != c.as && err == nil:
					t.Errorf("it is %s, and %s too", c.as, name)
				}
			}
			f := a.ofPatterns()
			if known := f.Result == control.ResultOK; known != (c.as != "") || known && !strings.HasSuffix(f.Text, " as "+c.as) {
				t.Errorf("its own check says %+v", f)
			}
			report, err := b.check(t.Context(), &control.CheckRequest{Peers: []string{"kvm1.example.org"}})
			if err != nil {
				t.Fatal(err)
			}
			if v := report.Peers[0]; (v.Found == control.PeerSluice) != (c.as == "kvm1.example.org") {
				t.Errorf("the check of kvm1 has %+v", v)
			}
		})
	}
	if got, want := b.peers(), []string{"kvm1.example.org", "kvm8.example.org", "odd"}; !slices.Equal(got, want) {
		t.Errorf("the peers that are known are %q", got)
	}
}

// A host without any DNS name is told why it is none.
func TestNoNameForAPattern(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, _, _, _ := domain(t, ca, "")
	a.Certify(ca, pki.Host{Names: []string{}, IPs: []net.IP{net.IPv4(192, 0, 2, 1)}, URIs: []string{"spiffe://example.org/kvm1.example.org"}})
	a.reloaded()
	hosttest.Says(t, a.asks("kvm2.example.org"), "by the patterns there a host is known by its DNS name (subjectAltName) alone")
}

// Hosts that a pattern names are there from the start.
func TestHostsOfAPattern(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b, _, _ := domain(t, ca, "hosts = ['kvm2.example.org']\npriority = 'NORMAL:-VERS-ALL:+VERS-TLS1.3'")
	echoes(t, a.echo("kvm2.example.org"), "nobody has asked for it before")
	st := a.status()
	if len(st.Peers) != 1 || st.Peers[0].Priority != "NORMAL:-VERS-ALL:+VERS-TLS1.3" {
		t.Errorf("%+v", st.Peers)
	}
	b.meets("kvm1.example.org")
	if f := a.ofPatterns(); f.Result != control.ResultOK || !strings.Contains(f.Text, "*.example.org") {
		t.Errorf("%+v", f)
	}
}
