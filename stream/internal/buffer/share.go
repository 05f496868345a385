package buffer

import "sync/atomic"

// Share is a part of the memory that is lent: a session's, say, which is a part of its peer's.
type Share struct {
	of    *Share // nil: all that the process lends
	most  int64
	taken atomic.Int64
}

// all is what the process lends.
var all = &Share{most: Limit}

// NewShare returns a share of so many bytes in another, nil for all there is.
func NewShare(of *Share, most int64) *Share { return &Share{of: of.orAll(), most: most} }

func (s *Share) orAll() *Share {
	if s == nil {
		return all
	}
	return s
}

// take takes n bytes of the share and of all that it is a part of, or none.
func (s *Share) take(n int64) bool {
	if s.taken.Add(n) > s.most || s.of != nil && !s.of.take(n) {
		s.taken.Add(-n)
		return false
	}
	return true
}

func (s *Share) give(n int64) {
	for ; s != nil; s = s.of {
		s.taken.Add(-n)
	}
}
