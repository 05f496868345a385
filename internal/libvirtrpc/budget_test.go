package libvirtrpc

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetOrder(t *testing.T) {
	b := NewBudget(2)
	first, second, third, fourth, fifth := b.queue(), b.queue(), b.queue(), b.queue(), b.queue()
	want := func(when string, had ...bool) {
		t.Helper()
		for i, p := range []*place{first, second, third, fourth, fifth} {
			if p.had() != had[i] {
				t.Errorf("%s: place %d is had: %v", when, i+1, p.had())
			}
		}
	}
	want("at first", true, true, false, false, false)
	fourth.leave() // it no longer waits
	second.leave()
	want("one has left", true, true, true, false, false)
	first.leave()
	want("two have left", true, true, true, false, true)
	third.leave()
	fifth.leave()
	for range 2 {
		if !b.queue().had() {
			t.Error("a place is lost")
		}
	}
	if b.queue().had() {
		t.Error("a place is had by two")
	}
}

// budgetRig are several connections of one peer, to one daemon.
type budgetRig struct {
	*memRig
	stop   context.CancelCauseFunc
	rested chan struct{} // closed once the conversation says so
}

func newBudgetRig(budgets []*Budget, background func(func()), draining <-chan struct{}) *budgetRig {
	r := &budgetRig{memRig: &memRig{ended: make(chan error, 1)}, rested: make(chan struct{})}
	var near, far *memConn
	r.client, near = memPair(1 << 20)
	r.server, far = memPair(1 << 20)
	r.conversation = &Conversation{Client: near, Server: far, Rules: testRules{}, Budgets: budgets, Background: background, Draining: draining, Rested: func() { close(r.rested) }}
	ctx, stop := context.WithCancelCause(context.Background())
	r.stop = stop
	go func() { r.ended <- r.conversation.Run(ctx) }()
	return r
}

// come returns the calls that have come to the daemon by now.
func (r *budgetRig) come(t *testing.T) []Head {
	t.Helper()
	return slices.DeleteFunc(r.all(t), func(h Head) bool { return h.Program == ProgramKeepalive })
}

// all returns all packets that have.
func (r *budgetRig) all(t *testing.T) (all []Head) {
	t.Helper()
	synctest.Wait()
	for r.server.in.filled() {
		h, _ := readPacket(t, r.server)
		all = append(all, h)
	}
	return all
}

const capabilities, lookup = Procedure(7), Procedure(23) // of low and of high priority

// Of a peer's calls as many are in flight as it may have, over all of its
// connections; the others wait in their order, and those of high priority pass.
func TestBudgetOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, all := NewBudget(2), NewBudget(3)
		a, b := newBudgetRig([]*Budget{peer, all}, nil, nil), newBudgetRig([]*Budget{peer, all}, nil, nil)
		other := newBudgetRig([]*Budget{NewBudget(2), all}, nil, nil)
		for _, r := range []*budgetRig{a, b, other} {
			defer r.close()
		}
		a.client.Write(append(call(capabilities, 1, "one."), call(capabilities, 2, "two.")...))
		one := a.come(t)
		if len(one) != 2 {
			t.Fatalf("%d calls have come", len(one))
		}
		b.client.Write(append(call(capabilities, 1, "body"), call(lookup, 2, "body")...))
		synctest.Wait()
		a.client.Write(append(call(1003, 3, "body"), call(lookup, 4, "body")...))
		for _, r := range []*budgetRig{a, b} {
			if got := r.come(t); len(got) != 1 || got[0].Procedure != lookup {
				t.Fatalf("past the budget come %+v", got)
			}
		}
		// Others have theirs, as long as there is one for all.
		other.client.Write(append(call(capabilities, 1, ""), call(capabilities, 2, "")...))
		others := other.come(t)
		if len(others) != 1 {
			t.Fatalf("of another peer's %d calls have come", len(others))
		}
		a.server.Write(packet(one[0].reply(StatusOK), nil))
		if h, _ := readPacket(t, a.client); h.Serial != 1 {
			t.Errorf("%+v", h)
		}
		// What waited for a place of all's has it before who waited for one of the peer's.
		if got := other.come(t); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		if got := append(a.come(t), b.come(t)...); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		other.server.Write(packet(others[0].reply(StatusOK), nil))
		if got := b.come(t); len(got) != 1 || got[0].Procedure != capabilities {
			t.Errorf("%+v", got)
		}
		a.server.Write(packet(one[1].reply(StatusError), (&Error{ErrRPC, "no"}).encode()))
		if got := a.come(t); len(got) != 1 || got[0].Procedure != 2003 {
			t.Errorf("%+v", got)
		}
	})
}

// A connection has fewer calls in flight than those at which libvirtd no longer reads it.
func TestBudgetOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBudgetRig([]*Budget{NewBudget(100)}, nil, nil)
		defer r.close()
		for serial := range uint32(perConnection + maxHeld + 5) {
			r.client.Write(call(lookup, serial, ""))
		}
		come := r.come(t)
		if len(come) != perConnection {
			t.Errorf("%d calls have come", len(come))
		}
		for n := uint32(0); n < perConnection+maxHeld+5; n++ {
			if len(come) == 0 {
				t.Fatalf("after %d replies no call comes", n)
			}
			r.server.Write(packet(come[0].reply(StatusOK), nil))
			if h, _ := readPacket(t, r.client); h.Serial != n {
				t.Errorf("reply %d is %+v", n, h)
			}
			come = append(come[1:], r.come(t)...)
		}
	})
}

// A call keeps its place until the daemon has replied, however its client goes,
// and gives it back then.
func TestBudgetOutlivesItsClient(t *testing.T) {
	for name, leave := range map[string]func(*budgetRig){
		"closes":     func(r *budgetRig) { r.client.Close() },
		"broken off": func(r *budgetRig) { r.stop(context.Canceled) },
		"talks nonsense": func(r *budgetRig) {
			r.client.Write(make([]byte, headSize))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			var background sync.WaitGroup
			peer := []*Budget{NewBudget(1)}
			a := newBudgetRig(peer, background.Go, nil)
			a.client.Write(append(call(capabilities, 1, "body"), call(capabilities, 2, "waits")...))
			come := a.come(t)
			if len(come) != 1 {
				t.Fatalf("%s: %+v", name, come)
			}
			leave(a)
			<-a.ended
			b := newBudgetRig(peer, background.Go, nil)
			defer b.close()
			b.client.Write(call(capabilities, 1, "next"))
			time.Sleep(Silence - pingInterval) // by the bubble's clock: the daemon is silent for almost too long
			if got := b.come(t); len(got) != 0 {
				t.Fatalf("%s: the place of a call that the daemon works on is had by %+v", name, got)
			}
			select {
			case <-a.rested:
				t.Errorf("%s: the daemon is said to rest while it works", name)
			default:
			}
			// Meanwhile the daemon hears that its end is alive.
			a.server.Write(ping)
			if !slices.Contains(a.all(t), ParseHead(pong)) {
				t.Errorf("%s: a ping is not answered", name)
			}
			a.server.Write(packet(come[0].reply(StatusOK), make([]byte, 3*bufferSize)))
			if got := b.come(t); len(got) != 1 {
				t.Errorf("%s: %+v", name, got)
			}
			background.Wait()
			<-a.rested
			if _, err := a.server.Write(ping); err == nil {
				t.Errorf("%s: the daemon's connection is open", name)
			}
		})
	}
}

// A call goes to the daemon once the one before is replied to, or has left a worker: else libvirtd
// starts none. Those of high priority wait for none.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		worker := make(chan error)
		turns := []*Budget{NewTurns(func(ctx context.Context) error {
			asked.Add(1)
			select {
			case err := <-worker:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})}
		a, b := newBudgetRig(turns, nil, nil), newBudgetRig(turns, nil, nil)
		defer a.close()
		defer b.close()
		want := func(when string, times int32, r *budgetRig, procedures ...Procedure) (come []Head) {
			t.Helper()
			come = r.come(t)
			if asked.Load() != times || !slices.EqualFunc(come, procedures, func(h Head, p Procedure) bool { return h.Procedure == p }) {
				t.Errorf("%s: %+v; a worker was asked for %d times", when, come, asked.Load())
			}
			return come
		}
		a.client.Write(append(call(capabilities, 1, "one."), call(capabilities, 2, "two.")...))
		one := want("at first", 0, a, capabilities)
		b.client.Write(append(call(capabilities, 1, "body"), call(lookup, 2, "body")...))
		want("of high priority", 0, b, lookup)
		a.server.Write(packet(one[0].reply(StatusOK), nil))
		want("the one before is replied to", 0, a, capabilities)
		time.Sleep(quick) // by the bubble's clock, here and below
		want("the one before is not", 1, b)
		worker <- nil
		want("a worker is left", 1, b, capabilities)
		a.client.Write(call(capabilities, 3, ""))
		time.Sleep(quick + noWorker - 1)
		want("none is left", 2, a)
		time.Sleep(time.Nanosecond)
		want("none was left for long", 2, a, capabilities)
	})
}

// A call that is not all here has no place.
func TestNoPlaceForHalfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := []*Budget{NewBudget(1)}
		slow, other := newBudgetRig(b, nil, nil), newBudgetRig(b, nil, nil)
		defer slow.close()
		defer other.close()
		whole := call(capabilities, 1, "body")
		slow.client.Write(whole[:len(whole)-1])
		synctest.Wait()
		other.client.Write(call(capabilities, 1, "body"))
		if got := other.come(t); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		slow.client.Write(whole[len(whole)-1:])
		if got := slow.come(t); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// What outlives its client ends with the daemon of ours.
func TestLingeringEndsWithDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var background sync.WaitGroup
		draining := make(chan struct{})
		r := newBudgetRig([]*Budget{NewBudget(1)}, background.Go, draining)
		r.client.Write(call(capabilities, 1, "body"))
		r.come(t)
		r.client.Close()
		<-r.ended
		close(draining)
		background.Wait()
	})
}

// A daemon that goes away leaves no place taken.
func TestBudgetAfterTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var background sync.WaitGroup
		b := NewBudget(2)
		for range 3 {
			r := newBudgetRig([]*Budget{b}, background.Go, nil)
			r.client.Write(append(call(capabilities, 1, "body"), call(capabilities, 2, "body")...))
			if got := r.come(t); len(got) != 2 {
				t.Fatalf("%+v", got)
			}
			r.server.Close()
			<-r.ended
			<-r.rested
			r.client.Close()
		}
		background.Wait()
	})
}
