package buffer

import "testing"

func TestAdaptive(t *testing.T) {
	s := &Store{Size: 100_000}
	a := Adaptive{From: s}
	if n := len(a.Bytes()); n != Small || a.Room() != Small || Lent() != 0 {
		t.Fatalf("begins with %d bytes, %d lent", n, Lent())
	}
	a.Adapt(Small-1, Small, nil) // not full
	if a.Room() != Small {
		t.Error("grew for less than a full read")
	}
	copy(a.Bytes(), "kept")
	keep := a.Adapt(Small, Small, a.Bytes()[:4])
	if string(keep) != "kept" || a.Room() != s.Size || len(a.Bytes()) != s.Size || Lent() != int64(s.Size) {
		t.Errorf("after a full read: room %d, %d lent", a.Room(), Lent())
	}
	b := a.Bytes()
	copy(b[500:], "tail")
	if keep = a.Idle(b[500:504]); string(keep) != "tail" || Lent() != 0 {
		t.Errorf("idle: kept %q, %d lent", keep, Lent())
	}
	for b := a.Bytes(); len(b) == s.Size; b = a.Bytes() {
		copy(b[7:], "tail")
		keep = a.Adapt(10, s.Size, b[7:11])
	}
	if string(keep) != "tail" || Lent() != 0 || a.Room() != Small {
		t.Errorf("after small reads: kept %q, %d lent, room %d", keep, Lent(), a.Room())
	}
	a.Release()
	a.Release()

	var none Adaptive
	none.Adapt(Small, Small, nil)
	if len(none.Bytes()) != Small {
		t.Error("grew without a store")
	}
}

func TestLimit(t *testing.T) {
	s := &Store{Size: Limit / 2}
	one, two := s.Get(nil), s.Get(nil)
	if one == nil || two == nil || s.Get(nil) != nil {
		t.Error("the limit is not kept")
	}
	a := Adaptive{From: s}
	a.Adapt(Small, Small, nil)
	if len(a.Bytes()) != Small {
		t.Error("no small memory where the large is out")
	}
	s.Put(one, nil)
	if len(a.Bytes()) != s.Size {
		t.Error("no large memory where there is some again")
	}
	a.Release()
	s.Put(two, nil)
	if Lent() != 0 {
		t.Errorf("%d bytes lent in the end", Lent())
	}
}

// A share bounds what is lent of it, and counts in those that it is a part of.
func TestShare(t *testing.T) {
	s := &Store{Size: 1000}
	peer := NewShare(nil, 2500)
	one, two := NewShare(peer, 1999), NewShare(peer, 9000)
	a := s.Get(one)
	if a == nil || s.Get(one) != nil {
		t.Error("a share's own bound is not kept")
	}
	b := s.Get(two)
	if b == nil || s.Get(two) != nil {
		t.Error("the bound of what it is a part of is not kept")
	}
	s.Put(a, one)
	c := s.Get(two)
	if c == nil || Lent() != 2000 {
		t.Errorf("after one was given back: %d bytes lent", Lent())
	}
	s.Put(b, two)
	s.Put(c, two)
	if Lent() != 0 || peer.taken.Load() != 0 || one.taken.Load() != 0 || two.taken.Load() != 0 {
		t.Errorf("%d bytes lent in the end", Lent())
	}
}
