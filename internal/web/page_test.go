package web

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virt-sluice/sluice/proxy/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a page of a daemon of the test's.
type site struct {
	*httptest.Server
	page   *Page
	looks  atomic.Int32 // at what is live
	checks atomic.Int32
	denied atomic.Bool
	live   atomic.Pointer[[]control.SessionRecord]

	cancelled chan string // sessions
}

const token = "the token"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{cancelled: make(chan string, 1)}
	s.live.Store(&[]control.SessionRecord{})
	requests := &control.Handler{
		History: func(_ context.Context, q *control.HistoryQuery) (*control.History, error) {
			return &control.History{Host: "host-a", Sessions: []control.SessionRecord{{SessionStatus: control.SessionStatus{Guest: q.Guest}}}}, nil
		},
		Session: func(_ context.Context, name string) (*control.SessionRecord, error) {
			return &control.SessionRecord{SessionStatus: control.SessionStatus{ID: name}}, nil
		},
		Cancel: func(_ context.Context, r *control.CancelRequest) (*control.CancelReply, error) {
			s.cancelled <- r.Guest
			return &control.CancelReply{Guest: "web1", Outcome: control.Cancelled}, nil
		},
	}
	s.page = New(Options{
		Live: func() ([]control.SessionRecord, []control.SessionStatus) {
			s.looks.Add(1)
			return *s.live.Load(), nil
		},
		Status: func() *control.Status {
			return &control.Status{Name: "host-a", Certificates: control.CertificateStatus{Expiry: []control.Expiry{{What: "ca", Seconds: time.Now().Unix()}}}}
		},
		Check: func(_ context.Context, r *control.CheckRequest) (*control.Report, error) {
			s.checks.Add(1)
			return &control.Report{Host: "host-a"}, nil
		},
		Control: requests,
		Who:     func(r *http.Request) string { return cmp.Or(r.Header.Get("Who"), "uid 0") },
		Denied: func(*http.Request) error {
			if s.denied.Load() {
				return errors.New("uid 1000 may not look")
			}
			return nil
		},
		Host: func(host string) error {
			if host != "127.0.0.1" {
				return fmt.Errorf("%q is no name of this page", host)
			}
			return nil
		},
		Tell:  func(*http.Request, error) {},
		Token: func() (string, error) { return token, nil }, TokenFile: "/run/sluice/web.token",
	})
	s.Server = httptest.NewServer(s.page)
	t.Cleanup(func() {
		s.page.Close()
		s.Server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s
}

// ask makes a request with further header lines, "Name: value".
func (s *site) ask(t *testing.T, method, path, body string, lines ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// Who gets what: by the host that is named, the page that asks, and the token.
func TestRequests(t *testing.T) {
	s := newSite(t)
	bearer := "Authorization: Bearer " + token
	const guest = `{"guest": "web1"}`
	for _, c := range []struct {
		method, path, body string
		lines              []string
		status             int
		word               string
	}{
		{"GET", "/", "", nil, 200, "<!DOCTYPE html>"},
		{"HEAD", "/", "", nil, 200, ""},
		{"GET", "/assets/page.js", "", nil, 200, "follow("},
		{"GET", "/assets/none.js", "", nil, 404, "no such file"},
		{"GET", "/assets/..%2fpage.go", "", nil, 404, "no such file"},
		{"GET", "/v1/history?guest=web1", "", nil, 200, "web1"},
		{"GET", "/v1/sessions/0123456789", "", nil, 200, "0123456789"},
		{"GET", "/v1/history?nothing=1", "", nil, 400, "no filter"},

		// No others of the control socket's.
		{"GET", "/v1/status", "", nil, 404, ""},
		{"GET", "/v1/guests", "", nil, 404, ""},
		{"POST", "/v1/migrate", guest, []string{bearer}, 404, ""},
		{"POST", "/v1/reload", "", []string{bearer}, 404, ""},
		{"POST", "/v1/resolve", guest, []string{bearer}, 404, ""},
		{"POST", "/v1/history", "", nil, 405, ""},
		{"GET", "/v1/cancel", "", []string{bearer}, 405, ""},
		{"GET", "/debug/pprof/", "", nil, 404, ""},

		// A name that leads here, and is somebody else's.
		{"GET", "/", "", []string{"Host: rebound.example.org"}, 421, "rebound.example.org"},
		{"GET", "/events", "", []string{"Host: rebound.example.org:80"}, 421, "rebound.example.org"},
		{"POST", "/v1/cancel", guest, []string{"Host: rebound.example.org", bearer}, 421, "rebound.example.org"},

		// Pages of others: they may lead here, and do nothing else.
		{"GET", "/", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200, "<!DOCTYPE html>"},
		{"GET", "/v1/history", "", []string{"Sec-Fetch-Site: cross-site"}, 403, "another page"},
		{"GET", "/events", "", []string{"Sec-Fetch-Site: same-site"}, 403, "another page"},
		{"HEAD", "/events", "", []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		{"HEAD", "/v1/history", "", []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		{"POST", "/check", "", []string{"Sec-Fetch-Site: cross-site"}, 403, "own page alone"},
		{"POST", "/check", "", []string{"Origin: http://evil.example.org"}, 403, "own page alone"},
		{"POST", "/v1/cancel", guest, []string{"Origin: http://evil.example.org", bearer}, 403, "own page alone"},
		{"OPTIONS", "/v1/cancel", "", []string{"Origin: http://evil.example.org", "Access-Control-Request-Method: POST"}, 405, ""},

		{"POST", "/v1/cancel", guest, nil, 401, "the token"},
		{"POST", "/v1/cancel", guest, []string{"Authorization: Bearer "}, 401, "the token"},
		{"POST", "/v1/cancel", guest, []string{"Authorization: Bearer the tokem"}, 401, "the token"},
		{"POST", "/v1/cancel", guest, []string{"Authorization: Basic " + token}, 401, "the token"},
		{"POST", "/v1/cancel", strings.Repeat(" ", maxBody) + guest, []string{bearer}, 400, "too large"},
		{"POST", "/v1/cancel", `{"guest": ""}`, []string{bearer}, 400, "which guest"},
		{"POST", "/check", "", []string{"Sec-Fetch-Site: same-origin"}, 204, ""},
	} {
		answer := s.ask(t, c.method, c.path, c.body, c.lines...)
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != c.status || !strings.Contains(string(body), c.word) {
			t.Errorf("%s %s %q: %s %q, want %d %q", c.method, c.path, c.lines, answer.Status, body, c.status, c.word)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %s: the header lets others in: %v", c.method, c.path, answer.Header)
		}
	}
	select {
	case id := <-s.cancelled:
		t.Fatalf("session %q was cancelled", id)
	default:
	}
	answer := s.ask(t, "POST", "/v1/cancel", guest, bearer, "Sec-Fetch-Site: same-origin")
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 || !strings.Contains(string(body), `"outcome":"cancelled"`) {
		t.Errorf("with the token: %s %s", answer.Status, body)
	}
	if got := <-s.cancelled; got != "web1" {
		t.Errorf("%q was cancelled", got)
	}
	s.denied.Store(true)
	answer = s.ask(t, "GET", "/", "")
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != 403 || !strings.Contains(string(body), "uid 1000 may not look") || !answer.Close {
		t.Errorf("one who may not look: %s %s", answer.Status, body)
	}
}

// The files are the page's own, and ask nobody else. A browser that has them is told so.
func TestAssets(t *testing.T) {
	s := newSite(t)
	answer := s.ask(t, "GET", "/assets/page.css", "")
	if got := answer.Header.Get("Content-Type"); got != "text/css; charset=utf-8" {
		t.Errorf("type %q", got)
	}
	if again := s.ask(t, "GET", "/assets/page.css", "", "If-None-Match: "+answer.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("the same again: %s", again.Status)
	}
	all, err := files.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		data, err := files.ReadFile("assets/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, "//") && strings.Contains(line, "http") && !strings.Contains(line, "http://www.w3.org/2000/svg") {
				t.Errorf("%s names a place elsewhere: %s", f.Name(), line)
			}
			for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
				if strings.Contains(line, word) {
					t.Errorf("%s makes markup or code of text: %s", f.Name(), line)
				}
			}
		}
	}
}

// stream reads events.
type stream struct {
	t    *testing.T
	r    *bufio.Reader
	told map[string]string // last, by name
}

func (s *site) stream(t *testing.T, lines ...string) *stream {
	t.Helper()
	answer := s.ask(t, "GET", "/events", "", lines...)
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s %s %s", answer.Status, got, body)
	}
	return &stream{t, bufio.NewReader(answer.Body), make(map[string]string)}
}

// until is what was told last of a name, once that is good.
func (e *stream) until(name string, good func(string) bool) string {
	e.t.Helper()
	for {
		if data, is := e.told[name]; is && good(data) {
			return data
		}
		event := ""
		for {
			line, err := e.r.ReadString('\n')
			if err != nil {
				e.t.Fatalf("wait for %s: %v", name, err)
			}
			line = strings.TrimSuffix(line, "\n")
			if line == "" {
				break
			}
			if rest, is := strings.CutPrefix(line, "event: "); is {
				event = rest
			}
			if rest, is := strings.CutPrefix(line, "data: "); is {
				e.told[event] = rest
			}
		}
	}
}

// first is what is told of a name at first.
func (e *stream) first(name string) string {
	e.t.Helper()
	return e.until(name, func(string) bool { return true })
}

// A watcher is told all at first, and then what is new. What a guest is called is data.
func TestEvents(t *testing.T) {
	s := newSite(t)
	e := s.stream(t)
	if got := e.first("host"); !strings.Contains(got, `"name":"host-a"`) || !strings.Contains(got, build) || !strings.Contains(got, "/run/sluice/web.token") || strings.Contains(got, `"sessions"`) {
		t.Errorf("host: %s", got)
	}
	if got := e.first("sessions"); got != "[]" {
		t.Errorf("sessions: %s", got)
	}
	if got := e.first("ended"); got != "[]" {
		t.Errorf("ended: %s", got)
	}
	e.until("checks", func(data string) bool {
		var c checks
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatal(err)
		}
		return !c.Running && c.Host != nil && c.Peers != nil
	})
	const hostile = "</script><img src=x onerror=alert(1)>\n\ndata: forged\n\r\u2028event: host"
	s.live.Store(&[]control.SessionRecord{{SessionStatus: control.SessionStatus{ID: "1", Guest: hostile}}})
	var live []control.SessionRecord
	data := e.until("sessions", func(data string) bool { return data != "[]" })
	if err := json.Unmarshal([]byte(data), &live); err != nil || live[0].Guest != hostile {
		t.Errorf("a hostile name came as %+v, %v", live, err)
	}
	// Somebody who comes later is told the same at once, and no second feed runs.
	later := s.stream(t)
	if got := later.first("sessions"); !strings.Contains(got, "forged") {
		t.Errorf("a later watcher: %s", got)
	}
}

// What changes all the time, and nobody looks at, is not told.
func TestEventsAreFew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	e := s.stream(t)
	e.first("host")
	before := s.looks.Load()
	for s.looks.Load() < before+2*statusEvery { // with two further statuses
		time.Sleep(10 * time.Millisecond) // asks again: the feed tells nobody of its looks
	}
	s.live.Store(&[]control.SessionRecord{{SessionStatus: control.SessionStatus{ID: "1"}}})
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "event: host\n" {
			t.Fatal("the host was told again, though it is the same")
		}
		if strings.Contains(line, `"id":"1"`) {
			return
		}
	}
}

// Close ends streams, and what feeds them.
func TestClose(t *testing.T) {
	s := newSite(t)
	e := s.stream(t)
	e.first("host")
	s.page.Close()
	if _, err := io.Copy(io.Discard, e.r); err != nil {
		t.Errorf("the stream ended by %v", err)
	}
	if answer := s.ask(t, "GET", "/events", ""); answer.StatusCode != 503 {
		t.Errorf("a stream after the end: %s", answer.Status)
	}
}
