package gateway

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream/relay"
)

// A peer's sluice that has spoken once ends what comes in clear for want of it.
func TestSluiceSeenEndsClearWayIn(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := hosttest.Pair(t, ca)
	h := &host.Host{
		Config: b.Configure("", hosttest.PeerA+"without_sluice = 'plain'\n"),
		State:  &host.State{Sessions: session.NewRegistry(10, 10)},
	}
	var err error
	if h.Peers, err = peer.New(h.Config, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	from := h.Peers.All["host-a"]
	clear := func() string {
		g := &destinationFilter{gateway: New(h, nil), tlsPeer: from, log: zerolog.Nop(), coming: make(map[string]*preparedGuest)}
		if _, refusal := g.wayOf(nil, nil, &transfer.Transfer{By: session.ByNothing}, false, false); refusal != nil {
			return refusal.Err.Message
		}
		return ""
	}
	if got := clear(); got != "" {
		t.Fatalf("before its sluice has spoken: %q", got)
	}
	raw, admitted := hosttest.Serve(t, func(c net.Conn) {
		if caller, err := h.Peers.Admit(t.Context(), c.(*net.TCPConn), func(c relay.Conn, _ error) { c.Close() }); err == nil {
			io.Copy(io.Discard, caller.Conn)
		}
	}), from.SluiceSeen.Load
	peers, err := peer.New(a.Configure("", "[peers.host-b]\naddress = '"+raw+"'\n"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	c, err := peers.Dial(t.Context(), peers.All["host-b"], "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hosttest.Eventually(t, "host-a is admitted", admitted)
	if got := clear(); !strings.Contains(got, "a sluice of host-a's has spoken") || !strings.Contains(got, "restart sluice on host-b") {
		t.Errorf("a guest may come in clear: %q", got)
	}
}
