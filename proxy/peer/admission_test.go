package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var (
	stranger = netip.MustParseAddr("192.0.2.66")
	known    = netip.MustParseAddr("192.0.2.1")
)

// The oldest silent connection goes for a new one: of the same address, or of a stranger's.
func TestPendingEvictsTheOldest(t *testing.T) {
	var p pending
	var first, second context.Context
	for i := range maxPendingFrom + 1 {
		ctx, done := p.add(t.Context(), stranger, false)
		defer done()
		switch i {
		case 0:
			first = ctx
		case 1:
			second = ctx
		}
	}
	if !errors.Is(context.Cause(first), errEvicted) {
		t.Errorf("the oldest is still there: %v", context.Cause(first))
	}
	if second.Err() != nil {
		t.Error("more than one has gone")
	}
}

func TestPendingSparesPeers(t *testing.T) {
	var p pending
	ours, done := p.add(t.Context(), known, true)
	defer done()
	for i := range 2 * maxPending {
		_, done := p.add(t.Context(), netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), false)
		defer done()
	}
	if ours.Err() != nil {
		t.Error("a peer's connection has gone for strangers")
	}
	if n := p.list.Len(); n != maxPending {
		t.Errorf("%d are pending", n)
	}
}

func TestPendingIsGivenBack(t *testing.T) {
	var p pending
	for range 3 * maxPending {
		ctx, done := p.add(t.Context(), stranger, false)
		if ctx.Err() != nil {
			t.Fatal(context.Cause(ctx))
		}
		done()
	}
	if p.list.Len() != 0 || len(p.from) != 0 {
		t.Errorf("%d are left, of %d addresses", p.list.Len(), len(p.from))
	}
}

// A stranger has its share of the places, all strangers together leave some, and a peer's address
// is served first.
func TestHandshakePlaces(t *testing.T) { synctest.Test(t, testHandshakePlaces) }

func testHandshakePlaces(t *testing.T) {
	var h handshakePlaces
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	var all []func()
	for i := range maxHandshakesOdd {
		_, done, err := h.take(t.Context(), soon(), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), false)
		if err != nil {
			t.Fatal(i, err)
		}
		all = append(all, done)
	}
	if _, _, err := h.take(t.Context(), soon(), stranger, false); err == nil {
		t.Error("strangers have taken the peers' places")
	}
	for i := range MaxHandshakes - maxHandshakesOdd {
		_, done, err := h.take(t.Context(), soon(), known, true)
		if err != nil {
			t.Fatal(i, err)
		}
		all = append(all, done)
	}
	if _, _, err := h.take(t.Context(), soon(), known, true); err == nil {
		t.Error("more than there are")
	}
	// Of two that wait the peer's is first, though it came later.
	got := make(chan string, 2)
	for _, c := range []struct {
		name  string
		addr  netip.Addr
		known bool
	}{{"stranger", stranger, false}, {"peer", known, true}} {
		go func() {
			if _, _, err := h.take(t.Context(), t.Context(), c.addr, c.known); err == nil {
				got <- c.name
			}
		}()
		synctest.Wait() // until it is queued
	}
	all[0]()
	if first := <-got; first != "peer" {
		t.Errorf("%s was first", first)
	}
	all[1]()
	if second := <-got; second != "stranger" {
		t.Errorf("%s was second", second)
	}
}

func TestHandshakePlacesOfOneAddress(t *testing.T) {
	var h handshakePlaces
	for range maxHandshakesFrom {
		if _, _, err := h.take(t.Context(), t.Context(), stranger, false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := h.take(t.Context(), ctx, stranger, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one address has more than its share: %v", err)
	}
	if len(h.queue) != 0 {
		t.Error("who has given up still waits")
	}
	if _, _, err := h.take(t.Context(), t.Context(), netip.MustParseAddr("192.0.2.67"), false); err != nil {
		t.Error(err)
	}
}

func TestAcceptRate(t *testing.T) {
	var r acceptRates
	now := time.Now()
	n := 0
	for range 10 * acceptBurstFrom {
		if r.allow(stranger, now) {
			n++
		}
	}
	if n != acceptBurstFrom {
		t.Errorf("%d at once from one address", n)
	}
	if !r.allow(stranger, now.Add(time.Second)) {
		t.Error("it is never let in again")
	}
	for i := range rememberedRates + 64 { // each beyond looks through all of them
		r.allow(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), now)
	}
	if len(r.from) > rememberedRates {
		t.Errorf("%d addresses are remembered", len(r.from))
	}
}

// Whoever has an IPv6 network is held to half of what is for all, whatever address of it he uses.
func TestAcceptRateOfANetwork(t *testing.T) {
	var r acceptRates
	now := time.Now()
	n := 0
	for i := range 2 * acceptBurst {
		if r.allow(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), now) {
			n++
		}
	}
	if n != acceptBurstNear {
		t.Errorf("%d at once from one network", n)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.66"} {
		if !r.allow(netip.MustParseAddr(other), now) {
			t.Errorf("%s pays for it", other)
		}
	}
}

// Whoever has one IPv6 address alone, and goes too fast, keeps nobody else in its network out.
func TestAcceptRateOfANeighbour(t *testing.T) {
	var r acceptRates
	now := time.Now()
	n := 0
	for range 2 * acceptBurstNear {
		if r.allow(netip.MustParseAddr("2001:db8::1"), now) {
			n++
		}
	}
	if n != acceptBurstFrom {
		t.Errorf("%d at once from one address", n)
	}
	if !r.allow(netip.MustParseAddr("2001:db8::2"), now) {
		t.Error("its neighbour pays for it")
	}
}
