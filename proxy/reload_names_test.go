package proxy

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/stream"
)

// Whose names change begins nothing by the old ones, and what is under way has both.
func TestReloadOfNames(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA+"names = ['host-a']\n")
	a.start("", peerTable(b, ""))
	half, err := a.open("host-b")
	if err != nil {
		t.Fatal(err)
	}
	b.rewrite("names = ['host-a']", "names = ['other']")
	b.reloaded()
	hosttest.Says(t, a.ask("host-b"), "no peer configured on host-b has its name")
	if _, err := half.OpenConn(t.Context(), stream.ChannelLibvirt); err != nil {
		t.Error(err)
	}
}

// A name that was another peer's becomes a peer's own, and the other way round: each folder leads to
// the peer of that name all along, also if a reload fails.
func TestReloadOfCalledNames(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	called, own := peerTable(b, "aliases = ['other']"), peerTable(b, "")+"[peers.other]\naddress = '127.0.0.1:1'\n"
	renamed := strings.Replace(peerTable(b, "names = ['host-b']\naliases = ['other']"), "[peers.host-b]", "[peers.renamed]", 1)
	a.start("", called)
	leads := func(when string, names ...string) {
		t.Helper()
		for _, name := range names {
			echoes(t, a.echo(name), when+", by "+name)
		}
	}
	leads("at first", "host-b", "other")

	a.Put("run/peers/p", nil) // where a socket can't be made
	a.rewrite(called, own+"[peers.p]\naddress = '127.0.0.1:1'\n")
	if _, err := a.Reload(); err == nil {
		t.Fatal("a peer without a socket was taken over")
	}
	leads("after a reload that failed", "host-b", "other")

	a.rewrite(own+"[peers.p]\naddress = '127.0.0.1:1'\n", own)
	a.reloaded()
	leads("with a peer of that name", "host-b")
	io.Copy(io.Discard, a.echo("other")) // where nothing listens
	if _, ended, _ := a.Sessions.Status(); len(ended) == 0 || ended[0].Peer != "other" {
		t.Errorf("the folder of other leads elsewhere: %+v", ended)
	}

	a.rewrite(own, renamed)
	a.reloaded()
	leads("renamed", "renamed", "host-b", "other")
	a.rewrite(renamed, called)
	a.reloaded()
	leads("as it was", "host-b", "other")
	if _, err := os.Lstat(a.Path("run/peers/renamed")); err == nil {
		t.Error("a folder is left")
	}
}
