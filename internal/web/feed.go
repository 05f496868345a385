package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

const (
	// interval is how often what is under way is looked at.
	interval = time.Second
	// statusEvery is of how many such looks one is at everything.
	statusEvery = 5
	// streamRate bounds what each watcher is sent, in bytes per second: the more there is to tell,
	// the less often.
	streamRate = 256 << 10
)

// Names of the parts, which are those of the events.
const (
	partHost     = "host"     // control.Status without sessions and peers
	partPeers    = "peers"    // []control.PeerStatus
	partSessions = "sessions" // []control.SessionRecord
	partEnded    = "ended"    // []control.SessionStatus
	partChecks   = "checks"   // checks
)

// part is one kind of event, as it was last.
type part struct {
	name    string
	data    []byte // JSON, in one line; nil: nothing is known yet
	version uint64
}

// feed makes events while somebody watches.
type feed struct {
	from   *Options
	closed chan struct{}
	work   sync.WaitGroup

	mu       sync.Mutex
	closing  bool
	watchers []*watcher    // in the order in which they came
	stop     chan struct{} // of what runs while somebody watches
	parts    []part
	next     chan struct{} // closed when parts are others
	found    checks
	checked  time.Time     // when that was; zero: never
	again    chan struct{} // has an element when a check was asked for
}

func newFeed(o *Options) *feed {
	f := &feed{from: o, closed: make(chan struct{}), next: make(chan struct{}), again: make(chan struct{}, 1)}
	for _, name := range []string{partHost, partPeers, partSessions, partEnded, partChecks} {
		f.parts = append(f.parts, part{name: name})
	}
	return f
}

// watcher is a stream of events.
type watcher struct {
	who string        // whose it is
	cut chan struct{} // closed when its place is another's
}

// join counts a watcher until it leaves, and has events made while there is one. When all places are
// taken, whoever has most gives one to whoever would still have fewer, so that nobody is kept out by
// another's pages.
func (f *feed) join(who string) (cut <-chan struct{}, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return nil, nil, errors.New("the daemon no longer serves this page")
	}
	if len(f.watchers) >= maxWatchers && !f.makeRoom(who) {
		return nil, nil, fmt.Errorf("the page is open %d times already, as often as it can be", len(f.watchers))
	}
	w := &watcher{who, make(chan struct{})}
	if f.watchers = append(f.watchers, w); len(f.watchers) == 1 {
		stop := make(chan struct{})
		f.stop = stop
		f.work.Go(func() { f.look(stop) })
		f.work.Go(func() { f.check(stop) })
	}
	return w.cut, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		before := len(f.watchers)
		f.watchers = slices.DeleteFunc(f.watchers, func(o *watcher) bool { return o == w })
		if before == 1 && len(f.watchers) == 0 {
			close(f.stop)
		}
	}, nil
}

// makeRoom cuts off the newest watcher of whoever has most, unless who would have as many.
func (f *feed) makeRoom(who string) bool {
	has := make(map[string]int)
	for _, w := range f.watchers {
		has[w.who]++
	}
	last := -1
	for i, w := range f.watchers {
		if last < 0 || has[w.who] >= has[f.watchers[last].who] {
			last = i
		}
	}
	w := f.watchers[last]
	if has[w.who] <= has[who]+1 {
		return false
	}
	close(w.cut)
	f.watchers = slices.Delete(f.watchers, last, last+1)
	return true
}

// close ends all streams, and waits for what feeds them.
func (f *feed) close() {
	f.mu.Lock()
	if !f.closing {
		f.closing = true
		close(f.closed)
	}
	f.mu.Unlock()
	f.work.Wait()
}

// now are the parts that are known, and a channel that is closed when they are others.
func (f *feed) now() (parts []part, next <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		if p.data != nil {
			parts = append(parts, p)
		}
	}
	return parts, f.next
}

// look makes the parts again and again.
func (f *feed) look(stop <-chan struct{}) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-pause.C:
		case <-stop:
			return
		case <-f.closed:
			return
		}
		news := make(map[string]any)
		live, ended := f.from.Live()
		news[partSessions], news[partEnded] = all(live), all(ended)
		if n%statusEvery == 0 {
			st := f.from.Status()
			news[partPeers] = all(st.Peers)
			news[partHost] = f.hostOnly(st)
		}
		pause.Reset(max(interval, time.Duration(f.publish(news))*time.Second/streamRate))
	}
}

// all is a list in JSON even if it is empty.
func all[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// host is a status without what is told in parts of its own, and without what changes all the time.
type host struct {
	control.Status
	Build     string `json:"build"`      // of the page: one that is open with another one loads itself anew
	TokenFile string `json:"token_file"` // Options.TokenFile

	Peers    any `json:"peers,omitempty"`
	Sessions any `json:"sessions,omitempty"`
	Ended    any `json:"ended,omitempty"`
}

func (f *feed) hostOnly(st *control.Status) host {
	h := host{Status: *st, Build: build, TokenFile: f.from.TokenFile}
	for i := range h.Certificates.Expiry {
		h.Certificates.Expiry[i].Seconds = 0
	}
	return h
}

// publish takes in parts that are new, and says how many bytes those are that have changed.
func (f *feed) publish(news map[string]any) (size int) {
	data := make(map[string][]byte)
	for name, body := range news {
		text, err := json.Marshal(body)
		if err != nil {
			continue // a figure that JSON has no word for, which the next look has not
		}
		data[name] = text
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.parts {
		p := &f.parts[i]
		if text, is := data[p.name]; is && !bytes.Equal(text, p.data) {
			p.data = text
			p.version++
			size += len(text)
		}
	}
	if size > 0 {
		close(f.next)
		f.next = make(chan struct{})
	}
	return size
}
