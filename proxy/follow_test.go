package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// Whoever may use the socket sees how far a migration is that somebody else has asked for, and how
// it ended, and does not hold it.
func TestFollow(t *testing.T) {
	t.Parallel()
	h, top := newHistorian(t)
	h.start(top, hosttest.PeerA)
	c := control.New(h.Path("run/control.sock"))
	guest := h.carries(id1, "web", control.Outgoing)

	phases, left := make(chan string, 64), make(chan error)
	ctx, leave := context.WithCancelCause(t.Context())
	go func() {
		_, err := c.Follow(ctx, id1[:8], func(p control.Progress) { phases <- p.Phase })
		left <- err
	}()
	if p := <-phases; p != control.PhaseConnect {
		t.Errorf("at first: %q", p)
	}
	guest.SetPhase(control.PhaseMemory)
	for p := range phases {
		if p == control.PhaseMemory {
			break
		}
	}
	why := errors.New("seen enough")
	leave(why)
	if err := <-left; !errors.Is(err, why) {
		t.Errorf("a follower that leaves: %v", err)
	}
	if st := h.status(); len(st.Sessions) != 1 {
		t.Errorf("then there are the sessions %+v", st.Sessions)
	}

	ended := follow(t, c, "web")
	h.Sessions.End(guest, control.Failed, stream.CodeLink, "the link broke")
	if st := <-ended; st == nil || st.ID != id1 || st.Outcome != control.Failed || st.Cause != "the link broke" {
		t.Errorf("the end: %+v", st)
	}

	if st, err := c.Follow(t.Context(), "web", nil); err != nil || st.ID != id1 || st.Code != stream.CodeLink {
		t.Errorf("after the end: %+v, %v", st, err)
	}
	_, err := c.Follow(t.Context(), "nobody", nil)
	if refused, is := errors.AsType[*control.Error](err); !is || refused.Code != http.StatusNotFound {
		t.Errorf("no such guest: %v", err)
	}
}

// follow has begun to follow once it returns, and sends how the session ended.
func follow(t *testing.T, c *control.Client, name string) <-chan *control.SessionStatus {
	following, ended := make(chan struct{}), make(chan *control.SessionStatus)
	var begun sync.Once
	go func() {
		st, err := c.Follow(t.Context(), name, func(control.Progress) { begun.Do(func() { close(following) }) })
		if err != nil {
			t.Error(err)
		}
		ended <- st
	}()
	<-following
	return ended
}

// One who follows learns how a session ended that the daemon's stop has ended.
func TestFollowUntilStop(t *testing.T) {
	t.Parallel()
	h, top := newHistorian(t)
	h.start(top, hosttest.PeerA)
	guest := h.carries(id1, "web", control.Outgoing)
	ended := follow(t, control.New(h.Path("run/control.sock")), id1)
	go func() { // as what serves the session does
		<-h.working.Done()
		h.Sessions.End(guest, control.Failed, stream.CodeShutdown, "the daemon is stopping")
	}()
	h.stop()
	if st := <-ended; st == nil || st.Code != stream.CodeShutdown {
		t.Errorf("%+v", st)
	}
}
