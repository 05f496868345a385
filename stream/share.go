package stream

import (
	"fmt"
	"sync"
)

// Share is the most that one peer may have of this host at once, over all of
// the sessions that it has opened. Zero: no limit.
type Share struct {
	Channels int // besides control channels
	Asks     int // questions outside of sessions
	// Memory holds what the peer has sent and is not dealt with yet; nil: none.
	Memory func(peer string) *Memory
}

// Memory is a number of bytes that may be held at once.
type Memory struct {
	mu   sync.Mutex
	size int64
	left int64 // less than nothing where it was made smaller than what is held
}

// NewMemory returns a Memory of n bytes.
func NewMemory(n int64) *Memory { return &Memory{size: n, left: n} }

// Resize makes it one of n bytes. What is held stays held.
func (m *Memory) Resize(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left += n - m.size
	m.size = n
}

// Take takes n bytes, or none and says so.
func (m *Memory) Take(n int) bool {
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if int64(n) > m.left {
		return false
	}
	m.left -= int64(n)
	return true
}

// Give gives back what was taken.
func (m *Memory) Give(n int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left += int64(n)
}

// shares counts what peers have.
type shares struct {
	mu sync.Mutex
	of map[shareKey]int
}

type shareKey struct{ peer, what string }

// take takes one of what, of which a peer may have most, and returns what gives it back.
func (s *shares) take(peer, what, limit string, most int) (give func(), err error) {
	key := shareKey{peer, what}
	s.mu.Lock()
	defer s.mu.Unlock()
	if most > 0 && s.of[key] >= most {
		return nil, &Cause{Code: CodeRefused, Text: fmt.Sprintf("limit of %[3]s for %[1]s reached (%[2]d, %[4]s)", peer, s.of[key], what, limit)}
	}
	if s.of == nil {
		s.of = make(map[shareKey]int)
	}
	s.of[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.of[key]--; s.of[key] == 0 {
			delete(s.of, key)
		}
	}, nil
}
