package stream

import (
	"context"
	"maps"
	"slices"
)

// accepted is a session in the acceptor's list.
type accepted struct {
	*Session
	live bool // channels may join; guarded by Acceptor.mu
}

// IDs are those of the sessions that are here.
func (a *Acceptor) IDs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.sessions))
}

func (a *Acceptor) add(s *accepted) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sessions == nil {
		a.sessions = make(map[string]*accepted)
	}
	if a.sessions[s.ID] != nil {
		return false
	}
	a.sessions[s.ID] = s
	return true
}

func (a *Acceptor) remove(s *accepted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, s.ID)
}

func (a *Acceptor) enliven(s *accepted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.live = true
}

// live is the session that channels may join, nil if there is none.
func (a *Acceptor) live(id string) *accepted {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[id]; s != nil && s.live {
		return s
	}
	return nil
}

// Over returns once no session with this ID of this peer's is live here, or with ctx's error.
func (a *Acceptor) Over(ctx context.Context, peer, id string) error {
	a.mu.Lock()
	s := a.sessions[id]
	a.mu.Unlock()
	if s == nil || s.Peer != peer {
		return nil
	}
	select {
	case <-s.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
