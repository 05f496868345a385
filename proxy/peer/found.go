package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/tlsconf"
)

// A host for which a pattern stands becomes a peer of its own when it is first asked for by its name,
// or comes with its certificate. Its settings follow from the configuration each time; what it has
// taken of this host is kept here, within bounds, from one configuration to the next. Somebody with
// many certificates has others forgotten, and so given their share anew, but nothing that decides
// whether they are let in, or whether their sluice is missed: patterns allow nothing in clear without
// one.

const (
	// maxFound bounds them.
	maxFound = 2048
	// foundFor is how long a host that has shown its certificate is a peer without showing it again.
	foundFor = 30 * 24 * time.Hour
)

type found struct {
	taken *Taken
	seen  *atomic.Bool
	used  time.Time
	known bool // it has shown its certificate, here or there
}

// foundHosts are those that were asked for or have come, by name.
type foundHosts struct {
	mu    sync.Mutex
	all   map[string]*found
	known chan struct{} // has one where some have become known
}

// get has what is kept of a host; anew, if nothing is.
func (f *foundHosts) get(name string, now time.Time, taken func() *Taken) *found {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locked(name, now, taken)
}

func (f *foundHosts) locked(name string, now time.Time, taken func() *Taken) *found {
	h := f.all[name]
	if h == nil {
		if len(f.all) >= maxFound {
			f.forgetOne()
		}
		h = &found{taken: taken(), seen: new(atomic.Bool)}
		f.all[name] = h
	}
	if !h.known {
		h.used = now
	}
	return h
}

// forgetOne makes room: the one goes that was used least recently, those that are not known first.
func (f *foundHosts) forgetOne() {
	var name string
	var oldest *found
	for n, h := range f.all {
		if oldest == nil || oldest.known && !h.known || oldest.known == h.known && h.used.Before(oldest.used) {
			name, oldest = n, h
		}
	}
	delete(f.all, name)
}

// expire forgets those that have not shown themselves for long.
func (f *foundHosts) expire(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, h := range f.all {
		if now.Sub(h.used) > foundFor {
			delete(f.all, name)
		}
	}
}

// show says that a host has shown its certificate.
func (f *foundHosts) show(p *Peer, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.locked(p.Name, now, func() *Taken { return p.Taken })
	h.used = now
	if h.known {
		return
	}
	h.known = true
	select {
	case f.known <- struct{}{}:
	default:
	}
}

// adopt keeps what a peer has taken whose table is to be removed.
func (f *foundHosts) adopt(p *Peer, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.locked(p.Name, now, func() *Taken { return p.Taken })
	h.taken, h.seen = p.Taken, p.SluiceSeen
	h.known, h.used = h.known || h.seen.Load(), now
}

func (f *foundHosts) each(do func(name string, h *found)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, h := range f.all {
		do(name, h)
	}
}

// byPattern is the peer that a pattern stands for by its name; nil if none does, or if the name
// stands for a peer that is listed.
func (s *Set) byPattern(name string) *Peer {
	if s.Config == nil || s.All[name] != nil || s.called[name] != "" || s.Config.PatternOf(name) == "" {
		return nil
	}
	conf, _ := s.Config.Peer(name)
	return s.foundPeer(name, conf)
}

func (s *Set) foundPeer(name string, conf config.Peer) *Peer {
	rules, err := tlsconf.ParseRules(conf.Names)
	if err != nil {
		return nil // the name of a host is a rule
	}
	h := s.found.get(name, time.Now(), s.newTaken)
	return &Peer{Name: name, Conf: conf, Rules: rules, Taken: h.taken, SluiceSeen: h.seen, Found: true}
}

// Saw says that p's sluice has shown its certificate.
func (s *Set) Saw(p *Peer) {
	p.SluiceSeen.Store(true)
	if p.Found {
		s.found.show(p, time.Now())
	}
}

// Known has one where hosts have shown their certificates for the first time for which a pattern
// stands.
func (s *Set) Known() <-chan struct{} { return s.found.known }

// Recall takes hosts for known that were when the daemon began to follow another.
func (s *Set) Recall(names []string) {
	for _, name := range names {
		if p := s.byPattern(name); p != nil {
			s.found.show(p, time.Now())
		}
	}
}

// Expire forgets hosts that have not shown themselves for long, and for which a pattern stands.
func (s *Set) Expire() { s.found.expire(time.Now()) }
