package tunnel

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// keptReports is how many connections that have ended a Status has.
const keptReports = 16

// connection is one under way.
type connection struct {
	settings *settings
	number   int64
	began    time.Time
	counters relay.Counters
	children []*child
	last     bool // after it there can be no other

	mu                   sync.Mutex
	from                 string
	path, version, suite string
}

func (c *connection) named(from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from = from
}

func (c *connection) joined(r *Report, path relay.Path) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.path, c.version, c.suite = string(path), r.Version, r.Suite
}

// adopt keeps a side that is a command, to be waited for.
func (c *connection) adopt(side net.Conn) {
	if k, ok := side.(*child); ok {
		c.children = append(c.children, k)
	}
}

// endChildren waits for the connection's commands, which it may fail of.
func (c *connection) endChildren(r *Report) {
	var fates []string
	for _, k := range c.children {
		err := k.end()
		if err != nil && r.Err == nil {
			r.Err = fmt.Errorf("%s: %w", k.at, err)
		}
		fates = append(fates, k.fate())
	}
	r.Command = strings.Join(fates, "; ")
}

// Live is a connection under way.
type Live struct {
	Number               int64
	From                 string
	Began                time.Time
	Path, Version, Suite string // empty until both sides stand
	Sent, Received       int64  // from the client to the target, and back
}

// Status is what a tunnel does, and has done.
type Status struct {
	Live           []Live   // oldest first
	Ended          []Report // newest first, a bounded number
	Done, Failed   uint64   // connections that have ended
	Sent, Received int64    // of all connections, live and ended; they never fall
}

// counts are what a tunnel keeps for its Status.
type counts struct {
	live  map[*connection]struct{}
	total Status // of those that have ended
}

func newCounts() counts { return counts{live: make(map[*connection]struct{})} }

func (s *settings) begin(number int64, from string) *connection {
	c := &connection{settings: s, number: number, began: time.Now(), from: from, last: s.single()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.live[c] = struct{}{}
	return c
}

// end completes the report of a connection; stopped is whether the tunnel was.
func (t *Tunnel) end(c *connection, r *Report, stopped bool) {
	r.Took = time.Since(c.began)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.counts.live, c)
	s := &t.counts.total
	if s.Done++; r.Err != nil {
		s.Done--
		s.Failed++
	}
	s.Sent += r.Sent
	s.Received += r.Received
	s.Ended = slices.Insert(s.Ended, 0, *r)
	s.Ended = s.Ended[:min(len(s.Ended), keptReports)]
	t.cut = t.cut || stopped && r.Err != nil
	if c.last {
		t.last = r.Err
	}
}

// Status is the tunnel at this moment.
func (t *Tunnel) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.counts.total
	s.Ended = slices.Clone(s.Ended)
	for c := range t.counts.live {
		l := c.status()
		l.Sent, l.Received = c.settings.order(c.counters.Sent.Load(), c.counters.Received.Load())
		s.Sent += l.Sent
		s.Received += l.Received
		s.Live = append(s.Live, l)
	}
	slices.SortFunc(s.Live, func(a, b Live) int { return cmp.Compare(a.Number, b.Number) })
	return s
}

func (c *connection) status() Live {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Live{Number: c.number, From: c.from, Began: c.began, Path: c.path, Version: c.version, Suite: c.suite}
}
