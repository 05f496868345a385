package proxy

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A tunnel's connections go by the table, and by the host's certificates, that there were when they
// came. Tunnels come and go with their tables, and none does with an error.
func TestReloadOfTunnels(t *testing.T) {
	ca, other := hosttest.NewAuthority(t, "CA"), hosttest.NewAuthority(t, "other")
	a, b := pairOfHosts(t, ca)
	const own = toCat + "priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'\n"
	b.start("", own)
	a.start("", a.toTunnelOf(b))
	store := newTestHost(t, "host-b") // only its folder
	b.Trust(ca, other)
	store.Certify(other, pki.Host{})
	before := a.dialTunnel("out")
	passes(t, before, "by TLS 1.2")
	at := b.tunnelNamed("cat").Address
	b.Trust(ca, other)
	b.rewrite(b.Folder+"/cert.pem", store.Folder+"/cert.pem", b.Folder+"/key.pem", store.Folder+"/key.pem", own, toCat+"connections = 2\n")
	if r := b.reloaded(); len(r.Restart) != 0 {
		t.Errorf("%+v", r)
	}
	c := a.dialTunnel("out")
	io.WriteString(c, "secret")
	io.Copy(io.Discard, c)
	hosttest.Eventually(t, "the failure", func() bool { return a.tunnelNamed("out").Failed == 1 })
	if e := a.tunnelNamed("out").Ended[0]; !strings.Contains(e.Cause, "does not come from a CA that this host trusts") {
		t.Errorf("%+v", e)
	}
	a.Trust(ca, other)
	if _, err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	passes(t, a.dialTunnel("out"), "with the other authority's")
	passes(t, before, "and still by TLS 1.2")
	if c := a.tunnelNamed("out").Connections; len(c) != 2 || c[0].TLS != "TLS1.2" || c[1].TLS != "TLS1.3" {
		t.Errorf("%+v", c)
	}
	if now := b.tunnelNamed("cat").Address; now != at {
		t.Errorf("it listens at %s, and did at %s", now, at)
	}

	// One that can't be opened leaves all as it was, another that could be included.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	second := fmt.Sprintf("[[tunnel]]\nname = 'second'\nlisten = 'unix:%s/run/tunnels/2.sock'\nto = 'exec:cat'\n", b.Folder)
	b.rewrite("connections = 2\n", "connections = 3\n"+second+fmt.Sprintf("[[tunnel]]\nlisten = 'tcp:%s'\nto = 'exec:cat'\nallow = ['host-a']\n", taken.Addr()))
	_, err = b.Reload()
	hosttest.Says(t, err, taken.Addr().String(), "is already in use", "the one before stays in use")
	if st := b.status(); len(st.Tunnels) != 1 || !st.Configuration.Differs {
		t.Errorf("%+v", st.Tunnels)
	}
	if _, err := os.Lstat(b.Path("run/tunnels/2.sock")); err == nil {
		t.Error("a socket is left")
	}
	passes(t, before, "as before")

	// One more, and one that goes: its connections go on, and nobody connects any more.
	taken.Close()
	b.Configure("", "[[tunnel]]\nname = 'second'\nlisten = 'unix:"+b.Folder+"/run/tunnels/2.sock'\nto = 'exec:cat'\n")
	if r := b.reloaded(); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], `tunnel "cat" was removed: its connections (2) go on`) {
		t.Errorf("%+v", r)
	}
	passes(t, b.dialTunnel("second"), "by the second")
	passes(t, before, "by one whose tunnel is gone")
	named := b.dialTunnel("second")
	passes(t, named, "before it has another name")
	b.rewrite("name = 'second'", "name = 'other'")
	b.reloaded()
	passes(t, named, "once it has")
	passes(t, b.dialTunnel("other"), "by the other name")
	c = a.dialTunnel("out")
	io.Copy(io.Discard, c)
	hosttest.Eventually(t, "the failure", func() bool { return a.tunnelNamed("out").Failed == 2 })
	if e := a.tunnelNamed("out").Ended[0]; !strings.Contains(e.Cause, "connection refused") {
		t.Errorf("%+v", e)
	}
	b.Configure("", "")
	b.reloaded()
	if _, err := os.Lstat(b.Path("run/tunnels/2.sock")); err == nil {
		t.Error("a socket is left")
	}
}

// Two tunnels exchange their addresses in one reload: connections to come go by the new names, and
// who may connect is the new one's user.
func TestReloadExchangesTunnels(t *testing.T) {
	needs.Root(t, "to let another user connect")
	_, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	at := func(name, socket, more string) string {
		return fmt.Sprintf("[[tunnel]]\nname = '%s'\nlisten = 'unix:%s/run/tunnels/%s.sock'\nto = 'exec:echo %s'\n%s", name, b.Folder, socket, name, more)
	}
	b.start("", at("one", "1", "user = '65534'\n")+at("two", "2", ""))
	says := func(socket, want string, others bool) {
		t.Helper()
		path := b.Path("run/tunnels/" + socket + ".sock")
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := io.ReadAll(c); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s.sock says %q (%v), want %q", socket, got, err, want)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// The group's bits are those that a list gives at the most.
		if st.Mode().Perm()&0o060 != 0 != others {
			t.Errorf("%s.sock has mode %v", socket, st.Mode())
		}
	}
	says("1", "one", true)
	says("2", "two", false)
	for range 2 {
		b.rewrite("/1.sock", "/2.sock", "/2.sock", "/1.sock")
		b.reloaded()
		says("1", "two", false)
		says("2", "one", true)
		b.rewrite("/1.sock", "/2.sock", "/2.sock", "/1.sock")
		b.reloaded()
		says("1", "one", true)
		says("2", "two", false)
	}
}
