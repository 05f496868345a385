package web

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// writePatience is how long a watcher may take to accept what it is told.
	writePatience = 10 * time.Second
	// quiet is the longest that a stream is silent, so that the page notices a daemon that is gone,
	// and the daemon a page that is.
	quiet = 15 * time.Second
)

// events tells a watcher what is new, until it or the page goes.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	cut, leave, err := p.feed.join(p.Who(r))
	if err != nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(quiet)
	defer alive.Stop()
	told := make(map[string]uint64)
	silent := true
	for {
		parts, next := p.feed.now()
		if p.Denied(r) != nil { // who may look may have changed
			return
		}
		out.SetWriteDeadline(time.Now().Add(writePatience))
		for _, part := range parts {
			if told[part.name] == part.version {
				continue
			}
			if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", part.name, part.data); err != nil {
				return
			}
			told[part.name], silent = part.version, false
		}
		if silent {
			fmt.Fprint(w, ":\n\n") // a comment
		}
		if out.Flush() != nil {
			return
		}
		silent = false
		select {
		case <-next:
		case <-alive.C:
			silent = true
		case <-r.Context().Done():
			return
		case <-cut:
			return
		case <-p.feed.closed:
			return
		}
	}
}
