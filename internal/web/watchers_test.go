package web

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Only so many watch at once. Once nobody does, nothing is looked at.
func TestWatchersAreBounded(t *testing.T) {
	s := newSite(t)
	var leave []func()
	for range maxWatchers {
		_, done, err := s.page.feed.join("uid 0")
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, done)
	}
	answer := s.ask(t, "GET", "/events", "")
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 503 || !strings.Contains(string(body), "as often as it can be") {
		t.Errorf("one too many: %s %s", answer.Status, body)
	}
	for _, done := range leave {
		done()
	}
	s.page.feed.work.Wait() // what looked has ended
	looks := s.looks.Load()
	time.Sleep(2 * interval) // in which a feed would have looked
	if got := s.looks.Load(); got != looks {
		t.Errorf("%d looks though nobody watches", got-looks)
	}
	s.stream(t).first("host")
	if got := s.checks.Load(); got > 4 {
		t.Errorf("checked %d times: a check lasts for %v", got, checkEvery)
	}
}

// Whoever has all places gives them up to others, the newest first, until each has as many.
func TestWatchersShare(t *testing.T) {
	s := newSite(t)
	f := s.page.feed
	var cuts []<-chan struct{}
	join := func(who string) error {
		t.Helper()
		cut, leave, err := f.join(who)
		if err == nil {
			cuts = append(cuts, cut)
			t.Cleanup(leave)
		}
		return err
	}
	for range maxWatchers - 1 {
		if err := join("uid 1000"); err != nil {
			t.Fatal(err)
		}
	}
	newest := s.stream(t, "Who: uid 1000")
	newest.first("host")
	s.stream(t).first("host") // uid 0
	if _, err := io.Copy(io.Discard, newest.r); err != nil {
		t.Errorf("the stream that gave up its place ended by %v", err)
	}
	if slices.ContainsFunc(cuts, closed) {
		t.Error("more than one gave up its place")
	}
	if err := join("uid 1000"); err == nil {
		t.Error("it takes its place back")
	}
	for range maxWatchers/2 - 1 {
		if err := join("uid 1001"); err != nil {
			t.Fatal(err)
		}
	}
	if err := join("uid 1001"); err == nil {
		t.Error("it has more than half of what is for two")
	}
	f.mu.Lock()
	has := make(map[string]int)
	for _, w := range f.watchers {
		has[w.who]++
	}
	f.mu.Unlock()
	if want := (map[string]int{"uid 0": 1, "uid 1000": maxWatchers / 2, "uid 1001": maxWatchers/2 - 1}); !maps.Equal(has, want) {
		t.Errorf("watchers %v, want %v", has, want)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A watcher that does not read is cut off, and holds up nobody.
func TestWatcherThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(c, "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	if _, err := c.Read(make([]byte, 16)); err != nil { // it has begun
		t.Fatal(err)
	}
	other := s.stream(t)
	other.first("sessions")
	const more = 8 << 20 // than the kernel takes for one who does not read
	s.live.Store(&[]control.SessionRecord{{SessionStatus: control.SessionStatus{ID: "1", Cause: strings.Repeat("x", more)}}})
	other.until("sessions", func(data string) bool { return len(data) > more })
	late := time.After(3 * writePatience)
	for watchers := 2; watchers > 1; time.Sleep(10 * time.Millisecond) { // asks again: nobody is told of another's end
		select {
		case <-late:
			t.Fatalf("it is there after %v", 3*writePatience)
		default:
		}
		s.page.feed.mu.Lock()
		watchers = len(s.page.feed.watchers)
		s.page.feed.mu.Unlock()
	}
}
