package web

import (
	"context"
	"encoding/json"
	"net/http"

	"golang.org/x/sync/semaphore"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Options are what a Page shows, and to whom. All are needed.
type Options struct {
	// Live are the sessions under way, without samples, and the last ones that ended, the newest
	// first. It is asked once a second while somebody watches.
	Live func() ([]control.SessionRecord, []control.SessionStatus)
	// Status is the rest of what is shown. It is asked every few seconds.
	Status func() *control.Status
	Check  func(context.Context, *control.CheckRequest) (*control.Report, error)

	Control http.Handler // answers /v1/history and /v1/cancel

	Who    func(*http.Request) string // whose request it is: places are shared by that
	Denied func(*http.Request) error  // why a request is not answered, or nil
	Host   func(host string) error    // why this is not a name of the page's, or nil
	Tell   func(*http.Request, error) // of a request that was refused; it may log

	Token     func() (string, error) // that cancels
	TokenFile string                 // where people find it
}

// Most that is served at once.
const (
	maxWatchers = 32
	maxHistory  = 4 // readings of history; more wait
)

// Page serves the page, until Close.
type Page struct {
	Options
	feed    *feed
	reading *semaphore.Weighted
	served  http.Handler
}

// New makes a page. Nothing runs until somebody watches.
func New(o Options) *Page {
	p := &Page{Options: o, reading: semaphore.NewWeighted(maxHistory)}
	p.feed = newFeed(&p.Options)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveIndex)
	mux.HandleFunc("GET /assets/{name}", serveAsset)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /v1/history", p.history)
	mux.HandleFunc("GET /v1/sessions/{name}", p.history)
	mux.HandleFunc("POST /check", p.checkAgain)
	mux.HandleFunc("POST /v1/cancel", p.cancel)
	p.served = mux
	return p
}

// Close ends all streams of events, and what makes them.
func (p *Page) Close() { p.feed.close() }

// history hands on to the control socket's, a few at a time: each reads the store.
func (p *Page) history(w http.ResponseWriter, r *http.Request) {
	if p.reading.Acquire(r.Context(), 1) != nil {
		return // the browser has gone
	}
	defer p.reading.Release(1)
	p.Control.ServeHTTP(w, r)
}

// refuse answers with an error in the control socket's form.
func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(&control.Error{Message: why})
}
