package peer

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
)

func setOf(t *testing.T, tables string) (*Set, *hosttest.Files) {
	t.Helper()
	h := hosttest.New(t, "kvm1.example.org")
	ca := hosttest.NewAuthority(t, "CA")
	h.Trust(ca)
	h.Certify(ca, pki.Host{})
	s, err := New(h.Configure("", tables), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

func next(t *testing.T, s *Set, h *hosttest.Files, top, tables string) *Set {
	t.Helper()
	n, err := s.Next(h.Configure(top, tables))
	if err != nil {
		t.Fatal(err)
	}
	n.TakeEffect()
	return n
}

const fleet = "[peers.'*.example.org']\n"

// Each host has a share of its own, and keeps it for as long as it is a peer by any table.
func TestShareOfEachHost(t *testing.T) {
	s, h := setOf(t, fleet)
	a, b := s.Get("a.example.org"), s.Called("B.example.org.")
	if a == nil || b == nil || a.Memory == b.Memory || a.Calls[0] == b.Calls[0] || a.Calls[1] != b.Calls[1] {
		t.Fatalf("%+v and %+v", a, b)
	}
	if again := s.Get("a.example.org"); again.Taken != a.Taken || again.SluiceSeen != a.SluiceSeen {
		t.Error("the next time it is another")
	}
	s.Saw(a)
	for i, tables := range []string{fleet + "access = 'full'\n", "[peers.'a.example.org']\n", "[peers.'*.example.org']\nhosts = ['a.example.org']\n", fleet, "", fleet} {
		s = next(t, s, h, "limits.peer_memory = 64", tables)
		p := s.Find("a.example.org")
		if p == nil || p.Taken != a.Taken || !p.SluiceSeen.Load() {
			t.Errorf("configuration %d has forgotten what it took", i)
		}
		if is := s.Get("a.example.org") != nil; is != (tables != "") {
			t.Errorf("configuration %d: that it is a peer is %v", i, is)
		}
	}
	if !a.Memory.Take(64<<20) || a.Memory.Take(1) {
		t.Error("its share is not that of the configuration in use")
	}
}

// Somebody with many certificates, or names to ask for, makes no more state than so much.
func TestBoundOfHosts(t *testing.T) {
	s, _ := setOf(t, fleet)
	s.Saw(s.Get("a.example.org"))
	select {
	case <-s.Known():
	default:
		t.Error("nobody is told of a new host")
	}
	for i := range maxFound + 500 {
		s.Get(fmt.Sprintf("asked%d.example.org", i))
	}
	if got := s.Names(); len(got) != 1 || len(s.found.all) > maxFound {
		t.Errorf("%d are kept, and known are %q", len(s.found.all), got)
	}
	for i := range maxFound + 500 {
		s.Saw(s.Get(fmt.Sprintf("came%d.example.org", i)))
	}
	if len(s.found.all) > maxFound || len(s.Names()) > maxFound {
		t.Errorf("%d are kept, %d are known", len(s.found.all), len(s.Names()))
	}
	if s.Get("a.example.org") == nil {
		t.Error("who was forgotten is no peer any more")
	}
}

func TestForgottenHosts(t *testing.T) {
	s, _ := setOf(t, fleet)
	old, young := s.Get("old.example.org"), s.Get("young.example.org")
	now := time.Now()
	s.found.show(old, now)
	s.found.show(young, now.Add(time.Hour))
	s.found.expire(now.Add(foundFor + time.Minute))
	if got := s.Names(); len(got) != 1 || got[0] != young.Name {
		t.Errorf("known are %q", got)
	}
	s.Recall([]string{"old.example.org", "old.example.net", "*.example.org", ".."})
	if got := s.Names(); len(got) != 2 {
		t.Errorf("after a restart known are %q", got)
	}
}
